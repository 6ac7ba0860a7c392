#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_handles.h"
#include "common/remote/remote_store.h"

namespace red {

/// One file of an SFTP server. A read of the whole file opens it for itself; reads of ranges share
/// a handle on each connection, which is held as long as this lives.
class SftpFile final : public RemoteFile, public std::enable_shared_from_this<SftpFile> {
 public:
  SftpFile(std::shared_ptr<SftpClient> client, std::string path, Version known);

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override;
  Version version() const override;

 private:
  class Read;

  /// Throws Error{ChangedRemotely} if this is not the content that was first seen.
  Version pin(const SftpAttributes& attributes);

  // set once
  const std::shared_ptr<SftpClient> client_;
  const std::string path_;
  const std::shared_ptr<SftpHandles> handles_;

  mutable std::mutex mutex_;
  Version version_;  // guarded by mutex_
};

}  // namespace red
