#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_lists.h"
#include "common/request_context.h"

namespace red {

/// Questions to the REST API. Paths are those below /data, encoded: "/experiments/XNAT_E00001".
/// Blocking, thread-safe. An object that does not exist, or that the user may not see, is
/// Error{NotFound}; but XNAT answers for what is above a missing experiment, scan, reconstruction
/// or assessor, so that a path must be known to exist before it is asked about.
class XnatQueries {
 public:
  /// `session` logs in.
  XnatQueries(std::shared_ptr<HttpClient> session, Url base);

  std::vector<XnatObject> projects(const RequestContext& context) const;
  std::vector<XnatObject> subjects(const std::string& project, const RequestContext& context) const;
  /// Of a project or of a subject.
  std::vector<XnatObject> experiments(const std::string& path, const RequestContext& context) const;
  std::vector<XnatObject> containers(const std::string& experiment, XnatContainerType type,
                                     const RequestContext& context) const;
  std::vector<XnatResource> resources(const std::string& owner,
                                      const RequestContext& context) const;
  /// Of an experiment, its scans and its reconstructions (and, in part, its assessors) in one list.
  std::vector<XnatResource> all_resources(const std::string& experiment,
                                          const RequestContext& context) const;
  /// Of a resource; empty if there is no such resource.
  std::vector<XnatCatalogEntry> files(const std::string& resource,
                                      const RequestContext& context) const;
  /// Whether the server takes us for somebody who has not logged in.
  bool is_guest(const RequestContext& context) const;

  Url url(const std::string& path) const;
  HttpClient& session() const { return *session_; }
  const std::shared_ptr<HttpClient>& shared_session() const { return session_; }

 private:
  struct ListText {
    std::string json;
    std::string where;  ///< for messages
  };
  ListText fetch(const std::string& path, std::string_view query,
                 const RequestContext& context) const;
  std::vector<XnatObject> objects(const std::string& path, std::string_view query,
                                  const RequestContext& context) const;

  const std::shared_ptr<HttpClient> session_;
  const Url base_;
};

std::string project_path(std::string_view project);
std::string subject_path(std::string_view project, std::string_view subject);
/// By accession ID.
std::string experiment_path(std::string_view experiment);
std::string container_path(std::string_view experiment, XnatContainerType type,
                           std::string_view container);
std::string resource_path(std::string_view owner, std::string_view resource);
std::string file_path(std::string_view resource, const RemotePath& file);

}  // namespace red
