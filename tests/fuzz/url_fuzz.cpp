#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "common/net/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  static const red::Url base = red::Url::parse("http://h/a/b/");
  if (red::decode_component(red::encode_component(text)) != text) std::abort();
  if (const auto url = base.resolve(text)) {
    if (red::Url::parse(url->to_string()).to_string() != url->to_string()) std::abort();
  }
  try {
    red::Url::parse(text);
  } catch (const red::Error&) {
  }
  return 0;
}
