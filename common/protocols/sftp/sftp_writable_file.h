#pragma once

#include <memory>
#include <string>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_handles.h"
#include "common/remote/tree_editor.h"

namespace red {

/// A file that is written by handles on as many connections as help.
class SftpWritableFile final : public WritableFile,
                               public std::enable_shared_from_this<SftpWritableFile> {
 public:
  SftpWritableFile(std::shared_ptr<SftpClient> client, std::string path, std::uint32_t flags,
                   std::shared_ptr<SftpHandle> handle);

  void write(std::uint64_t offset, std::span<const std::byte> bytes,
             std::shared_ptr<const void> owner, const RequestContext& context, Done done) override;
  void read(ByteRange range, const RequestContext& context, ReadDone done) override;
  void change(const FileChange& change, const RequestContext& context, Done done) override;
  bool changes_in_order() const override { return handles_->is_one(); }
  void sync(const RequestContext& context, Done done) override;
  void stat(const RequestContext& context,
            std::function<void(const Error* error, const Entry& entry)> done) override;
  void forget_name() override { handles_->forget_name(); }
  void close(const RequestContext& context, Done done) override;

 private:
  const std::string path_;
  const std::shared_ptr<SftpHandles> handles_;
};

/// What a change is in the protocol's terms. Times have full seconds, from 1970 to 2106.
SftpAttributes to_sftp_attributes(const FileChange& change);

}  // namespace red
