#include "common/protocols/xnat/xnat_queries.h"

#include <chrono>
#include <utility>

#include "common/net/http_error.h"
#include "common/protocols/xnat/xnat_names.h"

namespace red {
namespace {

/// About a million files.
constexpr std::size_t kMaxList = 512U << 20;
constexpr std::size_t kMaxText = 64 * 1024;
/// Large projects and catalogs let their readers wait.
constexpr std::chrono::minutes kListPatience{2};

}  // namespace

std::string project_path(std::string_view project) {
  return "/projects/" + encode_object_name(project);
}

std::string subject_path(std::string_view project, std::string_view subject) {
  return project_path(project) + "/subjects/" + encode_object_name(subject);
}

std::string experiment_path(std::string_view experiment) {
  return "/experiments/" + encode_object_name(experiment);
}

std::string container_path(std::string_view experiment, XnatContainerType type,
                           std::string_view container) {
  return experiment_path(experiment) + "/" + std::string(name_of(type)) + "/" +
         encode_object_name(container);
}

std::string resource_path(std::string_view owner, std::string_view resource) {
  return std::string(owner) + "/resources/" + encode_object_name(resource);
}

std::string file_path(std::string_view resource, const RemotePath& file) {
  return std::string(resource) + "/files/" + encode_file_path(file);
}

XnatQueries::XnatQueries(std::shared_ptr<HttpClient> session, Url base)
    : session_(std::move(session)), base_(std::move(base)) {}

Url XnatQueries::url(const std::string& path) const {
  Url url = base_;
  url.path += "/data" + path;
  return url;
}

XnatQueries::ListText XnatQueries::fetch(const std::string& path, std::string_view query,
                                         const RequestContext& context) const {
  Url asked = url(path);
  const std::string shown = asked.to_display();
  asked.query = "format=json" + std::string(query.empty() ? "" : "&") + std::string(query);
  asked.has_query = true;
  HttpResponse response = exchange(
      *session_, {.url = asked.to_string(), .stall_timeout = kListPatience}, context, kMaxList);
  if (response.head.status < 200 || response.head.status >= 300) {
    throw error_for_status(response.head, "GET", shown);
  }
  return {std::move(response.body), "GET " + shown};
}

std::vector<XnatObject> XnatQueries::objects(const std::string& path, std::string_view query,
                                             const RequestContext& context) const {
  const ListText list = fetch(path, query, context);
  return parse_objects(list.json, list.where);
}

std::vector<XnatObject> XnatQueries::projects(const RequestContext& context) const {
  const ListText list = fetch("/projects", {}, context);
  return parse_projects(list.json, list.where);
}

std::vector<XnatObject> XnatQueries::subjects(const std::string& project,
                                              const RequestContext& context) const {
  return objects(project + "/subjects", "columns=ID,label", context);
}

std::vector<XnatObject> XnatQueries::experiments(const std::string& path,
                                                 const RequestContext& context) const {
  return objects(path + "/experiments", "columns=ID,label,xsiType", context);
}

std::vector<XnatObject> XnatQueries::containers(const std::string& experiment,
                                                XnatContainerType type,
                                                const RequestContext& context) const {
  // This list alone has no types unless they are asked for.
  const bool names_columns = type == XnatContainerType::Reconstructions;
  return objects(experiment_path(experiment) + "/" + std::string(name_of(type)),
                 names_columns ? "columns=ID,type,xsiType" : "", context);
}

std::vector<XnatResource> XnatQueries::resources(const std::string& owner,
                                                 const RequestContext& context) const {
  const ListText list = fetch(owner + "/resources", {}, context);
  return parse_resources(list.json, list.where);
}

std::vector<XnatResource> XnatQueries::all_resources(const std::string& experiment,
                                                     const RequestContext& context) const {
  const ListText list = fetch(experiment_path(experiment) + "/resources", "all=true", context);
  return parse_resources(list.json, list.where);
}

std::vector<XnatCatalogEntry> XnatQueries::files(const std::string& resource,
                                                 const RequestContext& context) const {
  const ListText list = fetch(resource + "/files", {}, context);
  return parse_files(list.json, list.where);
}

bool XnatQueries::is_guest(const RequestContext& context) const {
  const HttpResponse response =
      exchange(*session_, {.url = url("/auth").to_string()}, context, kMaxText);
  return response.head.status == 200 && response.body.find("'guest'") != std::string::npos;
}

}  // namespace red
