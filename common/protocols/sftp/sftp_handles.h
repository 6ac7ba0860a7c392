#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "common/protocols/sftp/sftp_client.h"

namespace red {

/// One handle of a file on each connection that is used for it, opened when it is first needed and
/// anew when its connection was lost. Thread-safe.
class SftpHandles : public std::enable_shared_from_this<SftpHandles> {
 public:
  /// Called on the connection's thread, or on the caller's.
  using Use = std::function<void(const Error* error, const std::shared_ptr<SftpHandle>& handle)>;

  /// `flags` of SftpOpenFlags, for all but what add() brings.
  SftpHandles(std::shared_ptr<SftpClient> client, std::string path, std::uint32_t flags);
  ~SftpHandles();
  SftpHandles(const SftpHandles&) = delete;
  SftpHandles& operator=(const SftpHandles&) = delete;

  /// A handle that was opened elsewhere.
  void add(std::shared_ptr<SftpHandle> handle);
  /// On the connection that has the least to do.
  void use_best(Use use);
  /// On any connection; one that has the file open, if possible.
  void use_any(Use use);
  /// From now on nothing is opened any more.
  void forget_name();
  /// Whether all uses so far were of one handle that is still open, and the next of use_any() is,
  /// too.
  bool is_one() const;
  /// Lets go of all that are open, so that the next use opens the file anew. False if it has no
  /// name any more by which it could be.
  bool renew();
  /// All that are open, to be closed; later uses open the file anew.
  std::vector<std::shared_ptr<SftpHandle>> take_all();

 private:
  struct Slot {
    std::shared_ptr<SftpHandle> handle;
    bool is_opening = false;
    std::vector<Use> waiting;
  };

  std::shared_ptr<SftpHandle> find_alive() const;  // mutex_ must be held
  void use_at(SftpPlace place, Use use);
  void opened(SftpPlace place, const Error* error, std::shared_ptr<SftpHandle> handle);

  // set once
  const std::shared_ptr<SftpClient> client_;
  const std::string path_;
  const std::uint32_t flags_;
  std::stop_source stop_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::map<std::uint64_t, Slot> slots_;  ///< by connection
  bool has_name_ = true;
};

}  // namespace red
