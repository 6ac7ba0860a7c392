#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_handles.h"
#include "common/remote/tree_editor.h"

namespace red {

/// A file that is written by handles on as many connections as help.
class SftpWritableFile final : public WritableFile,
                               public std::enable_shared_from_this<SftpWritableFile> {
 public:
  /// `made`: when this file was made by opening it, if it was; its time of access until told
  /// otherwise.
  SftpWritableFile(std::shared_ptr<SftpClient> client, std::string path, std::uint32_t flags,
                   std::shared_ptr<SftpHandle> handle, std::optional<FileTime> made);

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
  void explain(const Error& error, std::size_t bytes, const RequestContext& context, Done done);
  void read_once(ByteRange range, const RequestContext& context, ReadDone done);
  std::optional<SftpAttributes> attributes_without_asking(const FileChange& change);

  // set once
  const std::shared_ptr<SftpClient> client_;
  const std::string path_;
  const std::shared_ptr<SftpHandles> handles_;

  std::mutex mutex_;
  std::optional<FileTime> accessed_;  // guarded by mutex_; as far as it is known
};

/// The protocol's times have full seconds, from 1970 to 2106.
std::uint32_t to_sftp_time(FileTime time);

/// Whether a change sets one of the two times only, which the protocol cannot: the other has to be
/// known.
bool needs_other_time(const FileChange& change);

/// What a change is in the protocol's terms. `now` has the time that is to stay.
SftpAttributes to_sftp_attributes(const FileChange& change, const SftpAttributes& now = {});

}  // namespace red
