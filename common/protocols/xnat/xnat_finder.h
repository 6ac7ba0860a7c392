#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_queries.h"

namespace red {

/// Finds what the access data names by ID or label, in lists: an answer to a deeper URL proves
/// nothing. Blocking, thread-safe.
class XnatFinder {
 public:
  /// Both must outlive it.
  XnatFinder(const XnatAccess& access, const XnatQueries& queries)
      : access_(access), queries_(queries) {}

  /// A subject or session, and the project that it was looked for in.
  struct Found {
    std::string project;               ///< its ID
    std::optional<XnatObject> object;  ///< nothing if the project has none
  };

  /// The ID of the project. Error{NotFound} tells why it may be missing.
  std::string project(const RequestContext& context) const;
  Found find_subject(const RequestContext& context) const;
  /// In its subject, if that is given; nothing if that is missing, too.
  Found find_session(const RequestContext& context) const;
  /// The container of the access data. Error{InvalidAccess} if it is the type of several.
  std::optional<XnatObject> find_container(const std::string& experiment,
                                           const RequestContext& context) const;
  /// The resource of the access data.
  std::optional<XnatResource> find_resource(const std::string& owner,
                                            const RequestContext& context) const;

  // The same, but Error{NotFound} if there is none.
  Found subject(const RequestContext& context) const;
  Found session(const RequestContext& context) const;
  XnatObject container(const std::string& experiment, const RequestContext& context) const;
  XnatResource resource(const std::string& owner, const RequestContext& context) const;

 private:
  /// Runs `step` with the project as it is given, and again with the ID of the one whose title that
  /// is. Returns what has worked.
  std::string with_project(const RequestContext& context,
                           const std::function<void(const std::string& project)>& step) const;
  std::optional<XnatObject> subject_in(const std::string& project,
                                       const RequestContext& context) const;
  std::optional<XnatObject> session_in(const std::string& project,
                                       const RequestContext& context) const;
  std::optional<std::string> project_by_title(const RequestContext& context) const;
  Error missing(std::string_view what, std::string_view name) const;

  const XnatAccess& access_;
  const XnatQueries& queries_;
};

}  // namespace red
