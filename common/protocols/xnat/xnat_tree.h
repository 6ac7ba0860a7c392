#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/protocols/xnat/answer_cache.h"
#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_catalog.h"
#include "common/protocols/xnat/xnat_finder.h"
#include "common/protocols/xnat/xnat_queries.h"
#include "common/remote/entry.h"
#include "common/remote/remote_path.h"

namespace red {

/// A directory of the tree below what the access data names, or a file: where the server has it.
struct XnatPlace {
  enum class Kind {
    Project,      ///< resources, subjects
    Subjects,     ///< by label
    Subject,      ///< resources, experiments
    Experiments,  ///< by label
    Experiment,   ///< resources, scans, reconstructions, assessors
    Containers,   ///< scans by ID, others by label
    Container,    ///< of a scan: resources; else out, in
    Side,         ///< out or in: resources
    Resources,    ///< by label
    Files,        ///< what is in a resource, any depth
  };
  Kind kind = Kind::Project;
  std::string path;          ///< of the object in the REST API, below /data
  std::string experiment;    ///< its accession ID; from Experiment on
  XnatContainerType type{};  ///< from Containers on, if `container` is not empty
  std::string container;     ///< its ID; from Container on
  RemotePath inside;         ///< of the resource, as XNAT has it: not escaped
  bool is_proven = true;     ///< a resource that is known to exist
};

/// XNAT's hierarchy as directories, with the names that its REST API has for them:
///
///   resources/R/...
///   subjects/S/{resources/R/..., experiments/E/...}
///   experiments/E/{resources, scans/N, reconstructions/N/{out,in}, assessors/A/{out,in}}/...
///
/// with labels as names, where they tell objects apart (directory_names), and below each resource
/// its files. What is asked of the server is remembered for a while, one catalog costs one request.
/// Blocking, thread-safe.
class XnatTree {
 public:
  /// All must outlive it.
  XnatTree(const XnatAccess& access, const XnatQueries& queries, const XnatFinder& finder);

  /// Error{NotFound} if it does not exist. In a resource nothing is asked: the path may be wrong.
  XnatPlace find(const RemotePath& path, const RequestContext& context);
  /// The same without I/O; nothing if it is not known yet.
  std::optional<XnatPlace> find_known(const RemotePath& path) const;

  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context);

  /// The catalog of the resource, if it has been listed and is remembered.
  std::shared_ptr<const XnatCatalog> known_catalog(const XnatPlace& place) const;

  /// What the catalog says of this file has proved to be wrong: from now on listings say nothing.
  void distrust(const RemotePath& path);

  /// Whether a place in a resource is a directory there.
  bool is_directory(const XnatPlace& place, const RequestContext& context);

 private:
  struct Child {
    Entry entry;
    XnatPlace place;
  };
  using Children = std::vector<Child>;

  XnatPlace find_root(const RequestContext& context) const;
  XnatPlace find_session_or_below(const RequestContext& context) const;
  XnatPlace remember(const RemotePath& path, const XnatPlace& place);

  Children children(const XnatPlace& place, const RequestContext& context);
  static Children subdirectories(const XnatPlace& place);
  Children objects(const XnatPlace& place, const RequestContext& context) const;
  Children containers(const XnatPlace& place, const RequestContext& context) const;
  Children resources(const XnatPlace& place, const RequestContext& context);
  std::vector<XnatResource> resources_of(const XnatPlace& place, const RequestContext& context);
  std::vector<XnatResource> all_resources(const std::string& experiment,
                                          const RequestContext& context) const;
  std::vector<Entry> files(const RemotePath& directory, const XnatPlace& place,
                           const RequestContext& context);
  void drop_distrusted(const RemotePath& directory, std::vector<Entry>& entries) const;
  std::shared_ptr<const XnatCatalog> catalog(const XnatPlace& place, const RequestContext& context);

  // set once
  const XnatAccess& access_;
  const XnatQueries& queries_;
  const XnatFinder& finder_;
  AnswerCache<std::vector<XnatResource>> resources_;  ///< of experiments with all they hold
  AnswerCache<XnatCatalog> catalogs_;

  mutable std::mutex mutex_;
  // guarded by mutex_
  std::map<RemotePath, XnatPlace> places_;  ///< directories above files
  std::set<RemotePath> distrusted_;         ///< files
};

}  // namespace red
