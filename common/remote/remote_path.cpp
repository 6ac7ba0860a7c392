#include "common/remote/remote_path.h"

#include "common/error.h"

namespace red {

bool RemotePath::is_valid_name(std::string_view name) noexcept {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

RemotePath RemotePath::child(std::string_view name) const {
  if (!is_valid_name(name)) {
    throw Error(ErrorKind::Protocol, "\"" + std::string(name) + "\" is not a valid file name");
  }
  RemotePath path;
  path.text_.reserve(text_.size() + 1 + name.size());
  path.text_ = text_;
  if (!path.text_.empty()) path.text_ += '/';
  path.text_ += name;
  return path;
}

RemotePath RemotePath::parent() const {
  RemotePath path;
  if (const auto slash = text_.rfind('/'); slash != std::string::npos) {
    path.text_ = text_.substr(0, slash);
  }
  return path;
}

std::string_view RemotePath::name() const noexcept {
  const auto slash = text_.rfind('/');
  return slash == std::string::npos ? std::string_view(text_)
                                    : std::string_view(text_).substr(slash + 1);
}

std::vector<std::string_view> RemotePath::components() const {
  std::vector<std::string_view> parts;
  std::string_view rest = text_;
  while (!rest.empty()) {
    const auto slash = rest.find('/');
    parts.push_back(rest.substr(0, slash));
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
  }
  return parts;
}

}  // namespace red
