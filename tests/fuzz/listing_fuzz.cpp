#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/access/listing_form.h"
#include "common/error.h"
#include "common/remote/remote_path.h"

namespace {

void expect_safe_names(const red::Listing& listing) {
  for (const red::ListingEntry& entry : listing) {
    if (!red::RemotePath::is_valid_name(entry.basename)) std::abort();
    expect_safe_names(entry.children);
  }
}

}  // namespace

/// A listing of any bytes is refused as invalid, or holds names only that lead nowhere else.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    expect_safe_names(
        red::parse_listing({reinterpret_cast<const char*>(data), size}, "listing.json"));
  } catch (const red::Error& error) {
    if (error.kind() != red::ErrorKind::InvalidAccess) std::abort();
  }
  return 0;
}
