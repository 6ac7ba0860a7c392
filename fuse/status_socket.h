#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/unique_fd.h"

namespace red {

/// What a daemon can be asked; the word is what travels.
namespace status_question {
inline constexpr std::string_view kCacheUse = "cache";  ///< used and bound, for people
inline constexpr std::string_view kStats = "stats";     ///< all that MountStats has
}  // namespace status_question

/// Where a daemon tells about itself: whoever connects sends one of the questions and a line feed,
/// and gets the answer, ended by the end of the connection. The socket lies in a directory that
/// only its user can enter. Not thread-safe.
class StatusServer {
 public:
  /// The answer to a question; empty to one that is not known.
  using Answers = std::function<std::string(std::string_view question)>;

  /// Throws Error{Mount}.
  explicit StatusServer(const std::filesystem::path& socket_path);

  /// Readable: serve() has something to do.
  std::vector<int> descriptors() const;
  /// Takes in who has come, and answers who has asked. Never blocks: who asks too slowly goes when
  /// others come, and an answer that nobody takes is cut.
  void serve(const Answers& answers);

 private:
  struct Client {
    UniqueFd fd;
    std::string received;
  };

  void accept_clients();
  static bool serve_client(Client& client, const Answers& answers);

  static constexpr std::size_t kMaxClients = 8;

  UniqueFd socket_;
  std::deque<Client> clients_;
};

/// Asks the daemon; nothing if it does not answer within the time.
std::optional<std::string> ask_status(const std::filesystem::path& socket_path,
                                      std::string_view question, std::chrono::milliseconds limit);

}  // namespace red
