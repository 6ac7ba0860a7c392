#include "common/remote/entry.h"

#include <string_view>

namespace red {
namespace {

std::string_view without_weakness(std::string_view etag) {
  return etag.starts_with("W/") ? etag.substr(2) : etag;
}

}  // namespace

bool Version::may_equal(const Version& other) const {
  if (!etag.empty() && !other.etag.empty() &&
      without_weakness(etag) != without_weakness(other.etag)) {
    return false;
  }
  if (modified && other.modified && *modified != *other.modified) return false;
  return !(size && other.size && *size != *other.size);
}

void Version::complete_from(const Version& other) {
  if (etag.empty()) etag = other.etag;
  if (!modified) modified = other.modified;
  if (!size) size = other.size;
}

}  // namespace red
