#include "common/protocols/xnat/xnat_tree.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <utility>

#include "common/logging.h"
#include "common/protocols/xnat/xnat_names.h"

namespace red {
namespace {

using Kind = XnatPlace::Kind;

/// A mount believes its listings for as long.
constexpr std::chrono::seconds kLifetime{60};
/// Files of all catalogs that are remembered: some hundred megabytes.
constexpr std::size_t kMaxFiles = 500'000;
constexpr std::size_t kMaxResources = 100'000;

constexpr std::string_view kResources = "resources";
constexpr std::string_view kSubjects = "subjects";
constexpr std::string_view kExperiments = "experiments";
constexpr std::array kContainerTypes{XnatContainerType::Scans, XnatContainerType::Reconstructions,
                                     XnatContainerType::Assessors};

Entry directory_entry(std::string name) {
  Entry entry;
  entry.name = std::move(name);
  entry.kind = EntryKind::Directory;
  return entry;
}

/// The place below `place`, with everything else as there.
XnatPlace below(const XnatPlace& place, Kind kind, std::string path) {
  XnatPlace child = place;
  child.kind = kind;
  child.path = std::move(path);
  return child;
}

XnatPlace experiment_place(const std::string& id) {
  XnatPlace place;
  place.kind = Kind::Experiment;
  place.path = experiment_path(id);
  place.experiment = id;
  return place;
}

XnatPlace containers_place(const XnatPlace& experiment, XnatContainerType type) {
  XnatPlace place = below(experiment, Kind::Containers, experiment.path);
  place.type = type;
  return place;
}

XnatPlace container_place(const XnatPlace& containers, const std::string& id) {
  XnatPlace place = below(containers, Kind::Container,
                          container_path(containers.experiment, containers.type, id));
  place.container = id;
  return place;
}

bool is_category_of_containers(std::string_view category) {
  return std::any_of(kContainerTypes.begin(), kContainerTypes.end(),
                     [&](XnatContainerType type) { return category == name_of(type); });
}

/// Whether the list of a session and all it holds has this resource for the place.
bool is_of(const XnatPlace& place, const XnatResource& resource) {
  // Versions differ in what they call the session's own.
  if (place.container.empty()) return !is_category_of_containers(resource.category);
  return resource.category == name_of(place.type) && resource.owner == place.container;
}

/// Whether another question may be answered all the same. XNAT's 500 is Unavailable here.
bool is_refusal(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::PermissionDenied:
    case ErrorKind::NotFound:
    case ErrorKind::Unsupported:
    case ErrorKind::Unavailable:
    case ErrorKind::Remote:
    case ErrorKind::Protocol:
      return true;
    default:
      return false;
  }
}

/// What the access data means by a resource of this place: of reconstructions and assessors, what
/// came out.
std::string owner_of_resources(const XnatPlace& place) {
  const bool has_sides = place.kind == Kind::Container && place.type != XnatContainerType::Scans;
  return place.path + (has_sides ? "/out" : "");
}

}  // namespace

XnatTree::XnatTree(const XnatAccess& access, const XnatQueries& queries, const XnatFinder& finder)
    : access_(access),
      queries_(queries),
      finder_(finder),
      resources_(kLifetime, kMaxResources, [](const auto& list) { return list.size() + 1; }),
      catalogs_(kLifetime, kMaxFiles,
                [](const XnatCatalog& catalog) { return catalog.size() + 1; }) {}

// --- Where things are ----------------------------------------------------------------------------

XnatPlace XnatTree::find_root(const RequestContext& context) const {
  XnatPlace place;
  if (access_.session) {
    place = find_session_or_below(context);
  } else if (access_.subject) {
    const auto found = finder_.subject(context);
    place.kind = Kind::Subject;
    place.path = subject_path(found.project, found.object->id);
  } else {
    place.path = project_path(finder_.project(context));
  }
  if (!access_.resource) return place;
  place = below(place, Kind::Files, resource_path(owner_of_resources(place), *access_.resource));
  place.is_proven = false;
  if (access_.file) place.inside = *access_.file;
  return place;
}

XnatPlace XnatTree::find_session_or_below(const RequestContext& context) const {
  const XnatPlace session = experiment_place(finder_.session(context).object->id);
  if (!access_.container_type) return session;
  const XnatPlace containers = containers_place(session, *access_.container_type);
  if (!access_.container) return containers;
  return container_place(containers, finder_.container(session.experiment, context).id);
}

XnatPlace XnatTree::remember(const RemotePath& path, const XnatPlace& place) {
  const std::lock_guard lock(mutex_);
  return places_[path] = place;
}

std::optional<XnatPlace> XnatTree::find_known(const RemotePath& path) const {
  {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(path);
    if (found != places_.end()) return found->second;
  }
  if (path.is_root()) return std::nullopt;
  auto place = find_known(path.parent());
  if (!place || place->kind != Kind::Files) return std::nullopt;
  const std::string name = unescape_component(path.name());
  if (!RemotePath::is_valid_name(name)) return std::nullopt;
  place->inside = place->inside.child(name);
  return place;
}

XnatPlace XnatTree::find(const RemotePath& path, const RequestContext& context) {
  if (auto known = find_known(path)) return std::move(*known);
  if (path.is_root()) return remember(path, find_root(context));
  const XnatPlace parent = find(path.parent(), context);
  if (parent.kind != Kind::Files) list(path.parent(), context);
  if (auto known = find_known(path)) return std::move(*known);
  throw Error(ErrorKind::NotFound,
              queries_.url(parent.path).to_display() + ": there is no " + path.text());
}

// --- Listings ------------------------------------------------------------------------------------

std::vector<Entry> XnatTree::list(const RemotePath& directory, const RequestContext& context) {
  const XnatPlace place = find(directory, context);
  if (place.kind == Kind::Files) return files(directory, place, context);
  std::vector<Entry> entries;
  for (Child& child : children(place, context)) {
    remember(directory.child(child.entry.name), child.place);
    entries.push_back(std::move(child.entry));
  }
  return entries;
}

XnatTree::Children XnatTree::children(const XnatPlace& place, const RequestContext& context) {
  switch (place.kind) {
    case Kind::Subjects:
    case Kind::Experiments:
      return objects(place, context);
    case Kind::Containers:
      return containers(place, context);
    case Kind::Resources:
      return resources(place, context);
    default:
      return subdirectories(place);
  }
}

/// What always is there, and costs nothing to say.
XnatTree::Children XnatTree::subdirectories(const XnatPlace& place) {
  Children children;
  const auto add = [&](std::string_view name, XnatPlace child) {
    children.push_back({directory_entry(std::string(name)), std::move(child)});
  };
  if (place.kind == Kind::Container && place.type != XnatContainerType::Scans) {
    for (const char* side : {"out", "in"}) {
      add(side, below(place, Kind::Side, place.path + "/" + side));
    }
    return children;
  }
  add(kResources, below(place, Kind::Resources, place.path));
  if (place.kind == Kind::Project) add(kSubjects, below(place, Kind::Subjects, place.path));
  if (place.kind == Kind::Subject) add(kExperiments, below(place, Kind::Experiments, place.path));
  if (place.kind == Kind::Experiment) {
    for (const auto type : kContainerTypes) add(name_of(type), containers_place(place, type));
  }
  return children;
}

XnatTree::Children XnatTree::objects(const XnatPlace& place, const RequestContext& context) const {
  const bool are_subjects = place.kind == Kind::Subjects;
  const auto list = are_subjects ? queries_.subjects(place.path, context)
                                 : queries_.experiments(place.path, context);
  const auto names = directory_names(list);
  Children children;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string& id = list[i].id;
    children.push_back({directory_entry(names[i]),
                        are_subjects ? below(place, Kind::Subject,
                                             place.path + "/subjects/" + encode_object_name(id))
                                     : experiment_place(id)});
  }
  return children;
}

XnatTree::Children XnatTree::containers(const XnatPlace& place,
                                        const RequestContext& context) const {
  std::vector<XnatObject> list;
  try {
    list = queries_.containers(place.experiment, place.type, context);
  } catch (const Error& error) {
    // An experiment that is no imaging session has none.
    if (error.kind() != ErrorKind::NotFound) throw;
  }
  const auto names = directory_names(list);
  Children children;
  for (std::size_t i = 0; i < list.size(); ++i) {
    children.push_back({directory_entry(names[i]), container_place(place, list[i].id)});
  }
  return children;
}

XnatTree::Children XnatTree::resources(const XnatPlace& place, const RequestContext& context) {
  const auto list = resources_of(place, context);
  std::vector<XnatObject> objects;
  for (const XnatResource& resource : list) {
    objects.push_back({.id = resource.id, .label = resource.label, .type = {}, .xsi_type = {}});
  }
  const auto names = directory_names(objects);
  Children children;
  for (std::size_t i = 0; i < list.size(); ++i) {
    children.push_back({directory_entry(names[i]),
                        below(place, Kind::Files, resource_path(place.path, list[i].id))});
  }
  return children;
}

/// One request for a session, all its scans and reconstructions. (Of assessors that list cannot
/// tell what is theirs and what came out of them.) Whoever is not in it is asked, as a server may
/// leave out what is not the session's own.
std::vector<XnatResource> XnatTree::resources_of(const XnatPlace& place,
                                                 const RequestContext& context) {
  const bool is_session = place.container.empty() && !place.experiment.empty();
  const bool is_scan = !place.container.empty() && place.type == XnatContainerType::Scans;
  const bool is_recon = !place.container.empty() &&
                        place.type == XnatContainerType::Reconstructions &&
                        place.path.ends_with("/out");
  if (!is_session && !is_scan && !is_recon) return queries_.resources(place.path, context);
  const auto all = resources_.get(place.experiment, context,
                                  [&] { return all_resources(place.experiment, context); });
  std::vector<XnatResource> own;
  std::copy_if(all->begin(), all->end(), std::back_inserter(own),
               [&](const XnatResource& resource) { return is_of(place, resource); });
  if (!own.empty()) return own;
  // A scan's type may be another's ID, and for a scan that has gone the session answers.
  own = queries_.resources(place.path, context);
  std::erase_if(own, [&](const XnatResource& resource) {
    return !resource.category.empty() && !is_of(place, resource);
  });
  return own;
}

/// Empty if the server does not have such lists: that costs comfort only.
std::vector<XnatResource> XnatTree::all_resources(const std::string& experiment,
                                                  const RequestContext& context) const {
  try {
    return queries_.all_resources(experiment, context);
  } catch (const Error& error) {
    if (!is_refusal(error)) throw;
    log(LogLevel::Info, error.message() + ": asking for the resources of each scan");
    return {};
  }
}

// --- Inside a resource ---------------------------------------------------------------------------

std::shared_ptr<const XnatCatalog> XnatTree::catalog(const XnatPlace& place,
                                                     const RequestContext& context) {
  const auto fetch = [&] {
    auto files = queries_.files(place.path, context);
    // An empty list is what XNAT says of a resource that does not exist, too.
    if (files.empty() && !place.is_proven) {
      finder_.resource(place.path.substr(0, place.path.rfind("/resources/")), context);
    }
    return XnatCatalog(std::move(files), "GET " + queries_.url(place.path).to_display());
  };
  // A resource that is listed is looked at; its directories are those of that moment.
  return place.inside.is_root() ? catalogs_.renew(place.path, context, fetch)
                                : catalogs_.get(place.path, context, fetch);
}

std::vector<Entry> XnatTree::files(const RemotePath& directory, const XnatPlace& place,
                                   const RequestContext& context) {
  const auto known = catalog(place, context);
  if (const auto* found = known->find_directory(place.inside)) {
    std::vector<Entry> entries = *found;
    drop_distrusted(directory, entries);
    return entries;
  }
  const std::string where = queries_.url(file_path(place.path, place.inside)).to_display();
  if (known->find_file(place.inside) != nullptr) {
    throw Error(ErrorKind::Unsupported, where + ": is a file, not a directory");
  }
  throw Error(ErrorKind::NotFound, where + ": there is no such directory");
}

std::shared_ptr<const XnatCatalog> XnatTree::known_catalog(const XnatPlace& place) const {
  return place.kind == Kind::Files ? catalogs_.find(place.path) : nullptr;
}

void XnatTree::distrust(const RemotePath& path) {
  const std::lock_guard lock(mutex_);
  if (distrusted_.size() < kMaxFiles) distrusted_.insert(path);
}

void XnatTree::drop_distrusted(const RemotePath& directory, std::vector<Entry>& entries) const {
  const std::lock_guard lock(mutex_);
  if (distrusted_.empty()) return;
  for (Entry& entry : entries) {
    if (!distrusted_.contains(directory.child(entry.name))) continue;
    entry.size.reset();
    entry.checksum.reset();
  }
}

bool XnatTree::is_directory(const XnatPlace& place, const RequestContext& context) {
  if (place.kind != Kind::Files) return true;
  return catalog(place, context)->find_directory(place.inside) != nullptr;
}

}  // namespace red
