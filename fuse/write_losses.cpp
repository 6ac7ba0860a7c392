#include "fuse/write_losses.h"

#include <fcntl.h>
#include <unistd.h>

#include "fuse/printable.h"

namespace red {
namespace {

constexpr std::size_t kMaxBytes = 64 * 1024;

}  // namespace

WriteLosses::WriteLosses(const std::filesystem::path& path)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                   0600)) {}

void WriteLosses::add(const std::string& path, const Error& error) {
  const std::string line = printable(path) + ": " + printable(error.message()) + "\n";
  const std::lock_guard lock(mutex_);
  if (!file_ || bytes_ + line.size() > kMaxBytes || !told_.insert(path).second) return;
  bytes_ += line.size();
  if (::write(file_.get(), line.data(), line.size()) < 0) file_ = UniqueFd();
}

WriteLossesReader::WriteLossesReader(const std::filesystem::path& path)
    : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) {}

std::string WriteLossesReader::read() const {
  if (!file_) return {};
  std::string text(kMaxBytes, '\0');
  const ssize_t count = ::pread(file_.get(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return text;
}

}  // namespace red
