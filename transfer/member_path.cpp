#include "transfer/member_path.h"

#include <string>

#include "common/error.h"

namespace red {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::Protocol, why); }

}  // namespace

RemotePath member_path(std::string_view name) {
  if (name.empty()) refuse("has no name");
  if (name.front() == '/') refuse("has an absolute name");
  if (name.size() > kMaxMemberNameLength) {
    refuse("has a name of more than " + std::to_string(kMaxMemberNameLength) + " bytes");
  }
  RemotePath path;
  std::size_t depth = 0;
  while (!name.empty()) {
    const auto slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    name = slash == std::string_view::npos ? std::string_view{} : name.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") refuse("has \"..\" in its name");
    if (++depth > kMaxMemberDepth) {
      refuse("is more than " + std::to_string(kMaxMemberDepth) + " directories deep");
    }
    path = path.child(part);
  }
  return path;
}

}  // namespace red
