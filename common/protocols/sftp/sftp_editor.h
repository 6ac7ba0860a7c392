#pragma once

#include <memory>
#include <string>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_links.h"
#include "common/protocols/sftp/sftp_paths.h"
#include "common/remote/tree_editor.h"

namespace red {

/// Changes to the tree of an SFTP server. Thread-safe.
class SftpEditor final : public TreeEditor {
 public:
  SftpEditor(std::shared_ptr<SftpClient> client, const SftpPaths& paths, SftpLinks& links);

  std::shared_ptr<WritableFile> open_for_writing(const RemotePath& path, const WriteMode& mode,
                                                 const RequestContext& context) override;
  void change(const RemotePath& path, const FileChange& change,
              const RequestContext& context) override;
  void remove(const RemotePath& path, const RequestContext& context) override;
  void make_directory(const RemotePath& path, std::uint32_t mode,
                      const RequestContext& context) override;
  void remove_directory(const RemotePath& path, const RequestContext& context) override;
  void rename(const RemotePath& from, const RemotePath& to, bool replace,
              const RequestContext& context) override;
  void make_symlink(const RemotePath& path, const std::string& target,
                    const RequestContext& context) override;
  void make_hard_link(const RemotePath& existing, const RemotePath& path,
                      const RequestContext& context) override;
  std::uint64_t copy(const RemotePath& from, ByteRange range, const RemotePath& to,
                     std::uint64_t offset, const RequestContext& context) override;
  FileSystemSpace space(const RequestContext& context) override;

 private:
  void move_link(const RemotePath& from, const RemotePath& to, bool replace,
                 const RequestContext& context);
  /// Throws Error{AlreadyExists} if that is why the server failed, else the failure.
  [[noreturn]] void explain(const Error& error, const std::string& path,
                            const RequestContext& context);

  const std::shared_ptr<SftpClient> client_;
  const SftpPaths& paths_;
  SftpLinks& links_;
};

}  // namespace red
