#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_catalog.h"
#include "common/protocols/xnat/xnat_finder.h"
#include "common/protocols/xnat/xnat_queries.h"
#include "common/remote/remote_store.h"

namespace red {

/// Sends files into one resource, which is made if it is missing, and the session or container that
/// has it, too, if the access data says of which type. One upload at a time: XNAT writes the whole
/// catalog with each (X/utils/CatalogUtils.java), and simultaneous ones fail or lose entries.
///
/// An answer of success proves nothing, XNAT gives it to users who may not write as well: what
/// counts is the catalog afterwards. A file is replaced by the upload itself, never deleted before.
class XnatUploader final : public Uploader, public TreeUploader {
 public:
  /// All must outlive it.
  XnatUploader(const XnatAccess& access, const XnatQueries& queries, const XnatFinder& finder)
      : access_(access), queries_(queries), finder_(finder) {}

  /// The root is the file of the access data, other paths are inside the resource.
  void upload(const RemotePath& path, ByteSource& source, const LocalAttributes& attributes,
              const RequestContext& context) override;
  /// Resources have no directories but those of their files.
  bool make_directory(const RemotePath&, const LocalAttributes&, const RequestContext&) override {
    return false;
  }
  void finish_directory(const RemotePath&, const LocalAttributes&, const RequestContext&) override {
  }

  /// As few archives as possible, which the server unpacks.
  void upload_tree(const std::vector<FileToSend>& files,
                   const std::function<void(std::int64_t)>& on_sent,
                   const RequestContext& context) override;

  /// Whether sending can begin: all but the making of what is missing.
  void check(const RequestContext& context);

 private:
  /// Where the resource is to be.
  struct Owner {
    std::string path;  ///< in the REST API; of one that is missing: where it is to be made
    bool is_missing = false;
  };
  /// What a file was proved to be when it was sent.
  struct Sent {
    std::uint64_t size = 0;  ///< bytes
    std::string md5;         ///< empty: not known
    std::uint32_t crc = 0;
  };
  using SentFiles = std::map<RemotePath, Sent>;

  Owner find_owner(const RequestContext& context) const;
  Owner find_session(const RequestContext& context) const;
  Owner find_container(const std::string& experiment, const RequestContext& context) const;
  void check_type(std::string_view what, const XnatObject& existing) const;
  void check_can_make(std::string_view what, const std::string& name) const;

  /// The path of the resource, made if it is missing.
  std::string prepare(const RequestContext& context);
  void make(const std::string& path, std::string_view query, const RequestContext& context) const;
  XnatCatalog catalog(const std::string& resource, const RequestContext& context) const;
  void refuse_conflicts(const XnatCatalog& catalog, const std::vector<FileToSend>& files) const;
  static void refuse_misplaced(const XnatCatalog& catalog, const std::vector<FileToSend>& files);
  void refuse_existing(const XnatCatalog& catalog, const std::vector<FileToSend>& files) const;

  static Sent describe(const FileToSend& file, const RequestContext& context);
  Sent send_plain(const std::string& resource, const RemotePath& path, ByteSource& source,
                  const RequestContext& context);
  /// In an archive, where the server unpacks it, else one by one.
  void send_pack(const std::string& resource, const std::vector<const FileToSend*>& files,
                 const std::function<void(std::int64_t)>& on_sent, SentFiles& sent,
                 const RequestContext& context);
  void send_archive(const std::string& resource, const std::vector<const FileToSend*>& files,
                    const std::function<void(std::int64_t)>& on_sent, SentFiles& sent,
                    const RequestContext& context);
  void put(const Url& url, std::shared_ptr<ByteSource> body, const RequestContext& context) const;
  Url upload_url(const std::string& resource, const std::string& name,
                 std::string_view query) const;
  void prove(const std::string& resource, const SentFiles& sent,
             const RequestContext& context) const;
  std::uint64_t size_of(const std::string& resource, const RemotePath& path,
                        const RequestContext& context) const;

  // set once
  const XnatAccess& access_;
  const XnatQueries& queries_;
  const XnatFinder& finder_;

  std::mutex mutex_;  ///< held while anything is sent
  // guarded by mutex_
  std::set<RemotePath> begun_;  ///< what is there of them is our own
  bool refuses_archives_ = false;
};

}  // namespace red
