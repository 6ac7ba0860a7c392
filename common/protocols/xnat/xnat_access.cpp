#include "common/protocols/xnat/xnat_access.h"

#include <algorithm>
#include <utility>

namespace red {
namespace {

constexpr ProtocolDefaults kDefaults{.connections = 8, .connect_timeout = std::chrono::seconds(10)};
constexpr std::string_view kDefaultResource = "OTHER";

/// `auth` as it is written.
struct AuthForm {
  std::optional<std::string> username;
  std::optional<std::string> password;
};

/// The whole form as it is written.
struct XnatForm {
  std::optional<Url> base_url;
  std::optional<AuthForm> auth;
  std::optional<std::string> project;
  std::optional<std::string> subject;
  std::optional<std::string> session;
  std::optional<std::string> container_type;
  std::optional<std::string> container;
  std::optional<std::string> resource;
  std::optional<RemotePath> file;
  std::optional<std::string> xsi_type;
  std::optional<bool> overwrites;
  std::optional<bool> disable_verification;
  WebForm web;
  SharedForm shared;
};

[[noreturn]] void refuse(std::string_view reason) {
  throw Error(ErrorKind::InvalidAccess, std::string(reason));
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// --- Values --------------------------------------------------------------------------------------

Url parse_base_url(const std::string& text) {
  Url url = Url::parse(text);
  if (url.has_query) refuse("must not hold a query");
  if (!url.userinfo.empty()) refuse("must not hold credentials; they belong to auth");
  while (url.path.ends_with('/')) url.path.pop_back();
  return url;
}

std::string parse_name(const std::string& text) {
  if (std::any_of(text.begin(), text.end(), is_control)) refuse("must not hold control characters");
  if (text == "." || text == "..") refuse("is no name");
  return text;
}

/// HTTP Basic puts a colon behind it (RFC 7617 section 2).
std::string parse_username(const std::string& text) {
  if (text.find(':') != std::string::npos) refuse("must not hold a colon");
  return parse_name(text);
}

RemotePath parse_file(const std::string& text) {
  RemotePath path;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    if (!RemotePath::is_valid_name(name)) {
      refuse(
          "must be the path of a file inside the resource, without \".\", \"..\" and empty names");
    }
    path = path.child(name);
    begin = end + 1;
  }
  return path;
}

// --- Tables --------------------------------------------------------------------------------------

const FieldTable<AuthForm>& auth_fields() {
  static const auto table = FieldTable<AuthForm>()
                                .add({.key = "username",
                                      .meaning = "user name, or the alias of an alias token",
                                      .required = true},
                                     parsed_text(&AuthForm::username, parse_username))
                                .add({.key = "password",
                                      .meaning = "password, or the secret of an alias token",
                                      .required = true},
                                     secret(&AuthForm::password));
  return table;
}

const FieldTable<XnatForm>& xnat_table() {
  static const auto table =
      FieldTable<XnatForm>()
          .add({.key = "baseUrl",
                .meaning = "address of the XNAT site, http:// or https://, without further path",
                .required = true},
               parsed_text(&XnatForm::base_url, parse_base_url))
          .add({.key = "auth", .meaning = "credentials", .required = true},
               object(&XnatForm::auth, auth_fields()))
          .add({.key = "project", .meaning = "ID or label of the project", .required = true},
               parsed_text(&XnatForm::project, parse_name))
          .add({"subject", "ID or label of the subject", "none"},
               parsed_text(&XnatForm::subject, parse_name))
          .add({"session", "ID or label of the session", "none"},
               parsed_text(&XnatForm::session, parse_name))
          .add({"containerType", "what of the session holds the resource", "the session itself"},
               choice(&XnatForm::container_type, {"scans", "reconstructions", "assessors"}))
          .add({"container", "ID or label of the scan, reconstruction or assessor, or its type",
                "none"},
               parsed_text(&XnatForm::container, parse_name))
          .add({"resource", "ID or label of the resource", "to send: OTHER"},
               parsed_text(&XnatForm::resource, parse_name))
          .add({"file", "path of the file inside the resource"},
               parsed_text(&XnatForm::file, parse_file))
          .add({"xsiType",
                "to send: type of a container that is made; an existing one must have it", "none"},
               parsed_text(&XnatForm::xsi_type, parse_name))
          .add({"overwriteExistingFile", "to send: whether an existing file is replaced", "false"},
               boolean(&XnatForm::overwrites))
          .add({"disableSSLVerification", "whether any certificate is accepted", "false"},
               boolean(&XnatForm::disable_verification))
          .include(web_fields(), &XnatForm::web)
          .include(shared_fields(), &XnatForm::shared);
  return table;
}

// --- What the fields say together ----------------------------------------------------------------
// Looks at what is written, not at what was read: a key that has a wrong value is not missing.

bool names_a_file(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

bool sends(Purpose purpose) { return purpose == Purpose::SendFile || purpose == Purpose::SendDir; }

void check_levels(const JsonValue& root, Purpose purpose, Problems& problems) {
  const auto has = [&root](std::string_view key) { return root.find(key) != nullptr; };
  if (has("containerType") && !has("session")) {
    problems.add("/session", "missing, containerType needs it");
  }
  if (has("container") && !has("containerType")) {
    problems.add("/containerType", "missing, container needs it");
  }
  const bool needs_container = names_a_file(purpose) || sends(purpose) || has("resource");
  if (has("containerType") && !has("container") && needs_container) {
    problems.add("/container", "missing, containerType is not enough here");
  }
}

void check_file(const JsonValue& root, Purpose purpose, Problems& problems) {
  if (!names_a_file(purpose)) {
    if (root.find("file")) {
      problems.add("/file", "is for files; a directory ends with the levels above");
    }
    return;
  }
  if (!root.find("file")) problems.add("/file", "missing");
  if (!root.find("resource") && !sends(purpose)) problems.add("/resource", "missing");
}

std::optional<XnatContainerType> container_type_named(const std::optional<std::string>& name) {
  for (const auto type : {XnatContainerType::Scans, XnatContainerType::Reconstructions,
                          XnatContainerType::Assessors}) {
    if (name == name_of(type)) return type;
  }
  return std::nullopt;
}

HttpClientOptions client_options(const XnatForm& form, const SiteOptions& site,
                                 const AccessOptions& options) {
  HttpClientOptions client;
  client.verify_tls = !form.disable_verification.value_or(false);
  client.ca_certificate =
      form.web.ca_certificate.value_or(site.web.ca_certificate.value_or(std::string()));
  client.proxy = form.web.proxy.value_or(site.web.proxy.value_or(std::string()));
  client.connect_timeout = options.connect_timeout;
  client.max_connections = options.connections;
  return client;
}

}  // namespace

std::string_view name_of(XnatContainerType type) noexcept {
  switch (type) {
    case XnatContainerType::Scans:
      return "scans";
    case XnatContainerType::Reconstructions:
      return "reconstructions";
    case XnatContainerType::Assessors:
      break;
  }
  return "assessors";
}

XnatAccess read_xnat_access(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  XnatForm form;
  Problems& problems = document.problems;
  xnat_table().read(document.root, JsonPlace(), form, problems);
  check_levels(document.root, purpose, problems);
  check_file(document.root, purpose, problems);
  problems.throw_if_any(document.name);

  XnatAccess access;
  access.base = std::move(*form.base_url);
  access.username = std::move(*form.auth->username);
  access.password = std::move(*form.auth->password);
  access.project = std::move(*form.project);
  access.subject = std::move(form.subject);
  access.session = std::move(form.session);
  access.container_type = container_type_named(form.container_type);
  access.container = std::move(form.container);
  access.resource = std::move(form.resource);
  if (sends(purpose) && !access.resource) access.resource = kDefaultResource;
  access.file = std::move(form.file);
  access.xsi_type = form.xsi_type.value_or(std::string());
  access.overwrites = form.overwrites.value_or(false);
  access.options = to_access_options(form.shared, site, kDefaults);
  access.client = client_options(form, site, access.options);
  access.client.uses_tls = access.base.scheme == "https";
  return access;
}

const std::vector<FieldDescription>& xnat_fields() { return xnat_table().descriptions(); }

}  // namespace red
