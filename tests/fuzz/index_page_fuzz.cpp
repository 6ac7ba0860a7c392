#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "common/protocols/http/index_page.h"
#include "common/remote/remote_path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  static const red::Url directory = red::Url::parse("http://h/tree/");
  const std::string_view page(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  try {
    for (const red::Entry& entry : red::parse_index_page(
             page, bytes[0] % 2 ? "application/json" : "text/html", directory, 1000)) {
      if (!red::RemotePath::is_valid_name(entry.name)) std::abort();
    }
  } catch (const red::Error&) {
  }
  return 0;
}
