#include "common/json/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/error.h"

namespace red {
namespace {

class OpenDescriptor {
 public:
  explicit OpenDescriptor(const std::filesystem::path& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (number_ < 0) throw Error::local_io(errno, "cannot open " + path.string());
  }
  ~OpenDescriptor() { ::close(number_); }
  OpenDescriptor(const OpenDescriptor&) = delete;
  OpenDescriptor& operator=(const OpenDescriptor&) = delete;

  int number() const { return number_; }

 private:
  const int number_;
};

}  // namespace

std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  constexpr std::size_t kStep = std::size_t{64} << 10;
  const OpenDescriptor file(path);
  std::string text;
  for (;;) {
    const std::size_t filled = text.size();
    text.resize(filled + kStep);
    const ssize_t count = ::read(file.number(), text.data() + filled, kStep);
    const int failure = errno;
    text.resize(filled + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count == 0) return text;
    if (count < 0 && failure != EINTR) {
      throw Error::local_io(failure, "cannot read " + path.string());
    }
    if (text.size() > max_bytes) {
      throw Error(ErrorKind::InvalidAccess, path.string() + ": larger than the limit of " +
                                                std::to_string(max_bytes) + " bytes");
    }
  }
}

}  // namespace red
