#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "common/protocols/http/http_access.h"

/// Access data of any bytes is taken or refused as invalid; nothing else may happen.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A path in it would make the result depend on the machine, or wait for a pipe.
  if (text.find("caCertificate") != std::string_view::npos ||
      text.find("listing") != std::string_view::npos) {
    return 0;
  }
  for (const auto purpose :
       {red::Purpose::ReceiveFile, red::Purpose::MountDir, red::Purpose::SendDir}) {
    try {
      red::read_http_access(red::parse_json(text, "access data"), purpose, {});
    } catch (const red::Error& error) {
      if (error.kind() != red::ErrorKind::InvalidAccess) std::abort();
    }
  }
  return 0;
}
