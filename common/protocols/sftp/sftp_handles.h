#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
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
  /// On the connection that has the least to do. Where the file has to be opened first, the wait
  /// for that ends with the context.
  void use_best(const RequestContext& context, Use use);
  /// On any connection; one that has the file open, if possible.
  void use_any(const RequestContext& context, Use use);
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
  /// A use that waits for the file to be opened.
  struct Waiter {
    Waiter(const RequestContext& its_context, Use its_use)
        : context(its_context), use(std::move(its_use)) {}

    const RequestContext context;
    Use use;  ///< guarded by mutex_; empty once somebody has taken it to call it
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
  };
  struct Slot {
    std::shared_ptr<SftpHandle> handle;
    bool is_opening = false;
    /// To be let go of without mutex_: the end of a stop_callback waits for one that is running.
    std::vector<std::shared_ptr<Waiter>> waiting;
  };

  std::shared_ptr<SftpHandle> find_alive() const;  // mutex_ must be held
  std::shared_ptr<SftpHandle> find_alive_at(SftpPlace place) const;
  void use_at(SftpPlace place, const RequestContext& context, Use use);
  void wait_at(SftpPlace place, const std::shared_ptr<Waiter>& waiter);
  void open_at(SftpPlace place, const RequestContext& context);
  void end(Waiter& waiter, const Error* error, const std::shared_ptr<SftpHandle>& handle);
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
