#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/protocols/sftp/sftp_client.h"
#include "common/protocols/sftp/sftp_paths.h"
#include "common/remote/entry.h"
#include "common/remote/remote_path.h"
#include "common/request_context.h"

namespace red {

/// What becomes of the symbolic links in a listing. Thread-safe.
class SftpLinks {
 public:
  enum class Policy {
    /// Each is what it leads to; one that leads nowhere, or back to a directory on the way to it,
    /// is
    /// left out with a warning.
    Follow,
    /// One that stays inside the tree is a link that stays inside the mount; one that leads out is
    /// what it leads to, if it leads anywhere.
    KeepInside,
  };

  SftpLinks(std::shared_ptr<SftpClient> client, const SftpPaths& paths, Policy policy);

  /// Turns the links among the entries of a directory into what they are shown as.
  void resolve(const RemotePath& directory, std::vector<Entry>& entries,
               const RequestContext& context);

  /// Where a path is on the server; what lies below a directory that is shown for a link has the
  /// path that the directory really has, which no server gets wrong.
  std::string on_server(const RemotePath& path) const;

  /// Whether something that the server does not tell as a link is one all the same.
  bool is_hidden_link(const RemotePath& path, const RequestContext& context);
  /// What a link in another directory has to hold to lead where that one does.
  std::string text_from(const RemotePath& link, const RemotePath& directory,
                        const RequestContext& context);

 private:
  struct Link {
    std::string real_path;                   ///< where it leads
    std::optional<SftpAttributes> leads_to;  ///< what is there
    std::optional<Error> error;
  };

  bool tells_links_truly(const RequestContext& context);
  static std::vector<Entry*> without_target(std::vector<Entry*> entries);
  void read_targets(const RemotePath& directory, const std::vector<Entry*>& entries,
                    const RequestContext& context);
  std::optional<std::string> safe_target(const RemotePath& directory, const std::string& target,
                                         const RequestContext& context);
  void follow(const RemotePath& directory, const std::vector<Entry*>& entries,
              const RequestContext& context);
  void show_what_it_leads_to(const RemotePath& path, Entry& entry, const Link& link);
  std::optional<std::size_t> find_on_the_way(const RemotePath& directory,
                                             const std::string& real_path) const;
  bool is_below_a_link(const RemotePath& directory) const;
  /// Where the root of the tree really is on the server.
  const std::string& real_root(const RequestContext& context);

  // set once
  const std::shared_ptr<SftpClient> client_;
  const SftpPaths& paths_;
  const Policy policy_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::optional<bool> tells_links_truly_;         ///< once asked
  std::string real_root_;                         ///< empty until asked for; constant afterwards
  std::map<RemotePath, std::string> real_paths_;  ///< of directories that are shown for links
};

}  // namespace red
