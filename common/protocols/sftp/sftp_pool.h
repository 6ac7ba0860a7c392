#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "common/error.h"
#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_connection.h"
#include "common/protocols/sftp/sftp_growth.h"
#include "common/protocols/sftp/ssh_connection.h"

namespace red {

/// The connections of one client. Thread-safe.
class SftpPool final : public SftpConnectionOwner, public std::enable_shared_from_this<SftpPool> {
 public:
  explicit SftpPool(SftpAccess access);

  /// The connection of that place, or whichever has the least to do. Throws what stands in the way
  /// of there being one.
  std::shared_ptr<SftpConnection> connection(SftpPlace place);
  SftpPlace best_place();
  std::size_t size() const;
  /// Ends all connections; there will be no others.
  void stop();

  void connection_ready(std::uint64_t id) override;
  void connection_ended(std::uint64_t id, const Error& error, bool was_ready) override;
  bool connection_may_end(std::uint64_t id) override;

 private:
  struct Slot {
    std::shared_ptr<SftpConnection> connection;
    bool is_ready = false;
    std::uint64_t assigned = 0;  ///< how often it was the best place
  };
  using Connections = std::vector<std::shared_ptr<SftpConnection>>;

  // With the lock held.
  std::shared_ptr<SftpConnection> launch(Connections& ended);
  bool is_connecting() const;
  Slot* find(std::uint64_t id);
  SftpGrowthPolicy::Observation observe() const;
  void retire(std::uint64_t id);

  // set once
  const SftpAccess access_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::vector<Slot> slots_;
  Connections retired_;  ///< whose threads have ended or are about to
  std::uint64_t next_id_ = 1;
  std::uint64_t moved_before_ = 0;  ///< bytes by connections that are gone
  SftpGrowthPolicy growth_;
  std::optional<Error> refusal_;  ///< that no repetition mends
  bool is_stopping_ = false;

  SshLoginNotes notes_;  ///< of whichever connection is logging in: there is only one
};

}  // namespace red
