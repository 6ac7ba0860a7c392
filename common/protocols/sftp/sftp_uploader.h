#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_paths.h"
#include "common/remote/remote_store.h"

namespace red {

/// Sends files under a temporary name that is renamed at the end, so that nobody sees half of one.
/// Where the server forbids that, under their own. Thread-safe.
class SftpUploader final : public Uploader {
 public:
  SftpUploader(std::shared_ptr<SftpClient> client, const SftpPaths& paths);

  void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
              const RequestContext& context) override;
  bool make_directory(const RemotePath& path, const LocalAttributes& attributes,
                      const RequestContext& context) override;
  void finish_directory(const RemotePath& path, const LocalAttributes& attributes,
                        const RequestContext& context) override;

 private:
  class Budget;
  struct Upload;

  bool upload_by_renaming(const Upload& upload);
  void upload_plainly(const Upload& upload);
  std::shared_ptr<SftpHandle> open(const Upload& upload, const std::string& path,
                                   std::uint32_t flags);
  void send_resuming(const Upload& upload, const std::string& path,
                     std::shared_ptr<SftpHandle> handle);
  void send(const Upload& upload, const std::shared_ptr<SftpHandle>& handle,
            std::uint64_t& acknowledged);
  void rename(const std::string& from, const std::string& to, const RequestContext& context);
  void remove_quietly(const std::string& path);
  void make_parents(const std::string& path, const RequestContext& context);
  bool make_one_directory(const std::string& path, const LocalAttributes& attributes,
                          const RequestContext& context);
  std::optional<std::uint32_t> mode_to_end_with(const std::string& path, std::uint32_t wanted,
                                                const RequestContext& context);

  // set once
  const std::shared_ptr<SftpClient> client_;
  const SftpPaths& paths_;
  const std::shared_ptr<Budget> budget_;

  std::atomic<bool> forbids_renaming_ = false;
};

}  // namespace red
