#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/access/shared_fields.h"
#include "common/json/form_description.h"
#include "common/json/json_document.h"
#include "common/net/http_client.h"
#include "common/net/url.h"
#include "common/remote/access_options.h"
#include "common/remote/remote_path.h"
#include "common/remote/remote_store.h"

namespace red {

/// What a session can hold beside its own resources.
enum class XnatContainerType { Scans, Reconstructions, Assessors };

/// "scans", …: in access data, in the REST API and in listings of resources.
std::string_view name_of(XnatContainerType type) noexcept;

/// What the access data of an XNAT connector says, checked and complete. Plain data. Objects are
/// named by ID or label.
struct XnatAccess {
  Url base;  ///< its path, if there is one, does not end with '/'
  std::string username;
  std::string password;
  std::string project;
  std::optional<std::string> subject;
  std::optional<std::string> session;
  std::optional<XnatContainerType> container_type;  ///< then there is a session
  std::optional<std::string> container;             ///< then there is a container_type
  std::optional<std::string> resource;              ///< always, to send
  std::optional<RemotePath> file;                   ///< inside the resource; for files
  std::string xsi_type;                             ///< of what is made; empty: not given
  bool overwrites = false;
  HttpClientOptions client;  ///< without credentials, which are for the login alone
  AccessOptions options;
};

/// Checks the access data for one purpose and completes it with the site's defaults. Throws
/// Error{InvalidAccess} with everything that is wrong, one line each.
XnatAccess read_xnat_access(JsonDocument document, Purpose purpose, const SiteOptions& site);

/// The form of the access data for one purpose.
FormDescription xnat_form(Purpose purpose);

}  // namespace red
