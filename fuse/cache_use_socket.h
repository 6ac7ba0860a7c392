#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "common/unique_fd.h"

namespace red {

/// Where a daemon tells how full its cache is: whoever connects gets one short text. The socket
/// lies in a directory that only its user can enter.
class CacheUseServer {
 public:
  /// Throws Error{Mount}.
  explicit CacheUseServer(const std::filesystem::path& socket_path);

  int fd() const noexcept { return socket_.get(); }  ///< readable: somebody wants an answer
  /// Answers whoever waits; does nothing if nobody does. Never blocks.
  void answer(const std::string& text) const noexcept;

 private:
  UniqueFd socket_;
};

/// Asks the daemon; an empty text if it does not answer within the time.
std::string ask_cache_use(const std::filesystem::path& socket_path,
                          std::chrono::milliseconds limit);

}  // namespace red
