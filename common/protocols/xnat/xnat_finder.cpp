#include "common/protocols/xnat/xnat_finder.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/protocols/xnat/xnat_names.h"

namespace red {
namespace {

/// The one of that label, else the one of that ID.
std::optional<XnatObject> find_named(const std::vector<XnatObject>& objects,
                                     const std::string& name) {
  for (const auto member : {&XnatObject::label, &XnatObject::id}) {
    const auto found = std::find_if(objects.begin(), objects.end(),
                                    [&](const XnatObject& each) { return each.*member == name; });
    if (found != objects.end()) return *found;
  }
  return std::nullopt;
}

std::string_view singular(XnatContainerType type) {
  switch (type) {
    case XnatContainerType::Scans:
      return "scan";
    case XnatContainerType::Reconstructions:
      return "reconstruction";
    case XnatContainerType::Assessors:
      break;
  }
  return "assessor";
}

/// Whether a label stands in a URL as it is, which XNAT does not decode.
bool is_addressable(const std::string& name) { return encode_object_name(name) == name; }

}  // namespace

// --- The project ---------------------------------------------------------------------------------

std::string XnatFinder::with_project(const RequestContext& context,
                                     const std::function<void(const std::string&)>& step) const {
  try {
    step(access_.project);
    return access_.project;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound) throw;
    if (queries_.is_guest(context)) {
      throw Error(ErrorKind::Authentication,
                  error.message() +
                      ": the server takes us for a guest, who may not see it; do "
                      "the credentials get through?");
    }
    const auto project = project_by_title(context);
    if (!project || *project == access_.project) {
      throw Error(ErrorKind::NotFound, error.message() + ": it does not exist, or the user " +
                                           access_.username + " may not see it");
    }
    step(*project);
    return *project;
  }
}

std::string XnatFinder::project(const RequestContext& context) const {
  return with_project(context, [&](const std::string& project) {
    queries_.subjects(project_path(project), context);
  });
}

std::optional<std::string> XnatFinder::project_by_title(const RequestContext& context) const {
  std::set<std::string> ids;
  for (const XnatObject& project : queries_.projects(context)) {
    if (project.label == access_.project) ids.insert(project.id);
  }
  if (ids.size() != 1) return std::nullopt;
  return *ids.begin();
}

// --- What is in it -------------------------------------------------------------------------------

std::optional<XnatObject> XnatFinder::subject_in(const std::string& project,
                                                 const RequestContext& context) const {
  return find_named(queries_.subjects(project_path(project), context), *access_.subject);
}

XnatFinder::Found XnatFinder::find_subject(const RequestContext& context) const {
  Found found;
  found.project = with_project(
      context, [&](const std::string& project) { found.object = subject_in(project, context); });
  return found;
}

/// By the subject as it is given first: that is one request in nearly all cases.
std::optional<XnatObject> XnatFinder::session_in(const std::string& project,
                                                 const RequestContext& context) const {
  const auto find_below = [&](const std::string& path) {
    return find_named(queries_.experiments(path, context), *access_.session);
  };
  if (!access_.subject) return find_below(project_path(project));
  if (is_addressable(*access_.subject)) {
    try {
      return find_below(subject_path(project, *access_.subject));
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::NotFound) throw;
    }
  }
  const auto subject = subject_in(project, context);
  if (!subject) return std::nullopt;
  return find_below(subject_path(project, subject->id));
}

XnatFinder::Found XnatFinder::find_session(const RequestContext& context) const {
  Found found;
  found.project = with_project(
      context, [&](const std::string& project) { found.object = session_in(project, context); });
  return found;
}

std::optional<XnatObject> XnatFinder::find_container(const std::string& experiment,
                                                     const RequestContext& context) const {
  const auto objects = queries_.containers(experiment, *access_.container_type, context);
  if (auto named = find_named(objects, *access_.container)) return named;
  std::optional<XnatObject> typed;
  for (const XnatObject& object : objects) {
    if (object.type != *access_.container) continue;
    if (typed) {
      throw Error(ErrorKind::InvalidAccess,
                  "container: " + *access_.container + " is the type of several " +
                      std::string(name_of(*access_.container_type)) + " (" + typed->id + ", " +
                      object.id + "): name one by its ID");
    }
    typed = object;
  }
  return typed;
}

std::optional<XnatResource> XnatFinder::find_resource(const std::string& owner,
                                                      const RequestContext& context) const {
  const auto resources = queries_.resources(owner, context);
  for (const auto member : {&XnatResource::id, &XnatResource::label}) {
    const auto found =
        std::find_if(resources.begin(), resources.end(),
                     [&](const XnatResource& each) { return each.*member == *access_.resource; });
    if (found != resources.end()) return *found;
  }
  return std::nullopt;
}

XnatFinder::Found XnatFinder::subject(const RequestContext& context) const {
  Found found = find_subject(context);
  if (!found.object) throw missing("subject", *access_.subject);
  return found;
}

XnatFinder::Found XnatFinder::session(const RequestContext& context) const {
  Found found = find_session(context);
  if (found.object) return found;
  const std::string of = access_.subject ? " of a subject " + *access_.subject : std::string();
  throw missing("session", *access_.session + of);
}

XnatObject XnatFinder::container(const std::string& experiment,
                                 const RequestContext& context) const {
  auto found = find_container(experiment, context);
  if (!found) throw missing(singular(*access_.container_type), *access_.container);
  return std::move(*found);
}

XnatResource XnatFinder::resource(const std::string& owner, const RequestContext& context) const {
  auto found = find_resource(owner, context);
  if (!found) throw missing("resource", *access_.resource);
  return std::move(*found);
}

Error XnatFinder::missing(std::string_view what, std::string_view name) const {
  return {ErrorKind::NotFound, queries_.url(project_path(access_.project)).to_display() +
                                   ": there is no " + std::string(what) + " " + std::string(name)};
}

}  // namespace red
