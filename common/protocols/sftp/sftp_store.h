#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_editor.h"
#include "common/protocols/sftp/sftp_links.h"
#include "common/protocols/sftp/sftp_paths.h"
#include "common/protocols/sftp/sftp_uploader.h"
#include "common/remote/remote_store.h"

namespace red {

/// A file or directory of an SSH server.
class SftpStore final : public RemoteStore {
 public:
  /// No I/O. The purpose decides what symbolic links are shown as.
  SftpStore(SftpAccess access, Purpose purpose);
  /// Ends the client: it must not end on a thread of its own, beside the end of the process.
  ~SftpStore() override;

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override;
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override;
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override;
  bool listings_are_complete() const override { return true; }
  int parallelism() const override;
  std::string location(const RemotePath& path) const override { return paths_.location(path); }
  std::optional<Asker> asker() const override;
  void check(Purpose purpose, const RequestContext& context) override;
  Examination examination() override;
  Uploader* uploader() override { return &uploader_; }
  TreeEditor* editor() override { return access_.writable ? &editor_ : nullptr; }

 private:
  std::vector<SftpName> names_in(const RemotePath& directory, const RequestContext& context);
  void check_readable_file(const RequestContext& context);
  void check_directory(bool may_be_missing, const RequestContext& context);
  void check_target(EntryKind kind, const RequestContext& context);

  const SftpAccess access_;
  const SftpPaths paths_;
  const std::shared_ptr<SftpClient> client_;
  const SftpLinks::Policy link_policy_;
  SftpLinks links_;
  SftpUploader uploader_;
  SftpEditor editor_;
};

}  // namespace red
