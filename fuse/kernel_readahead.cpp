#include "fuse/kernel_readahead.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "common/logging.h"
#include "common/unique_fd.h"

namespace red {

void set_kernel_readahead(const DeviceNumber& device, unsigned kibibytes) noexcept {
  const std::string path = "/sys/class/bdi/" + to_string(device) + "/read_ahead_kb";
  const std::string value = std::to_string(kibibytes);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), value.data(), value.size()) < 0) {
    log(LogLevel::Debug, "the kernel keeps its own readahead: cannot write " + path);
  }
}

}  // namespace red
