#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "common/protocols/http/webdav.h"
#include "common/remote/remote_path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const red::Url directory = red::Url::parse("http://h/tree/");
  const std::string_view body(reinterpret_cast<const char*>(bytes), size);
  try {
    for (const red::Entry& entry : red::parse_multistatus(body, directory, 1000)) {
      if (!red::RemotePath::is_valid_name(entry.name)) std::abort();
    }
  } catch (const red::Error&) {
  }
  return 0;
}
