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

/// What is named, but for a file.
struct LevelsForm {
  std::optional<std::string> project;
  std::optional<std::string> subject;
  std::optional<std::string> session;
  std::optional<std::string> container_type;
  std::optional<std::string> container;
  std::optional<std::string> resource;
};

/// The whole form as it is written.
struct XnatForm {
  std::optional<Url> base_url;
  std::optional<AuthForm> auth;
  LevelsForm levels;
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

Url parse_base_url(std::string_view text) {
  Url url = Url::parse(text);
  if (url.has_query) refuse("must not hold a query");
  if (!url.userinfo.empty()) refuse("must not hold credentials; they belong to auth");
  while (url.path.ends_with('/')) url.path.pop_back();
  return url;
}

std::string parse_name(std::string_view text) {
  if (std::any_of(text.begin(), text.end(), is_control)) refuse("must not hold control characters");
  if (text == "." || text == "..") refuse("is no name");
  return std::string(text);
}

/// HTTP Basic puts a colon behind it (RFC 7617 section 2).
std::string parse_username(std::string_view text) {
  if (text.find(':') != text.npos) refuse("must not hold a colon");
  return parse_name(text);
}

RemotePath parse_file(std::string_view text) {
  RemotePath path;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view name = text.substr(begin, end - begin);
    if (!RemotePath::is_valid_name(name)) {
      refuse(
          "must be the path of a file inside the resource, without \".\", \"..\" and empty names");
    }
    path = path.child(name);
    begin = end + 1;
  }
  return path;
}

// Refused: a query, and user information that is not empty.
constexpr TextForm<Url> kBaseUrl{{kUrlPattern, R"(^[^#]*\?|^[A-Za-z]+://[^/?#]+@)"},
                                 parse_base_url};
constexpr TextForm<std::string> kName{{R"(^[^\x00-\x1f\x7f]+$)", R"(^\.\.?$)"}, parse_name};
constexpr TextForm<std::string> kUsername{{R"(^[^\x00-\x1f\x7f:]+$)", R"(^\.\.?$)"},
                                          parse_username};
constexpr TextForm<RemotePath> kFile{{R"(^[^\x00/]+(?:/[^\x00/]+)*$)", R"((?:^|/)\.\.?(?:/|$))"},
                                     parse_file};

// --- Tables --------------------------------------------------------------------------------------

bool names_a_file(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

bool sends(Purpose purpose) { return purpose == Purpose::SendFile || purpose == Purpose::SendDir; }

const FieldTable<AuthForm>& auth_fields() {
  static const auto table = FieldTable<AuthForm>()
                                .add({.key = "username",
                                      .meaning = "user name, or the alias of an alias token",
                                      .required = true},
                                     parsed_text(&AuthForm::username, kUsername))
                                .add({.key = "password",
                                      .meaning = "password, or the secret of an alias token",
                                      .required = true},
                                     secret(&AuthForm::password));
  return table;
}

/// A type of containers is enough to read all of them.
Rule rule_of_container(Purpose purpose) {
  Rule rule = needs("containerType", {"container"}, "container",
                    "missing, containerType is not enough here");
  if (!names_a_file(purpose) && !sends(purpose)) rule.all_of.push_back("resource");
  return rule;
}

/// From the project down to the resource.
FieldTable<LevelsForm> level_fields(Purpose purpose) {
  const bool has_default_resource = sends(purpose);
  FieldDescription resource{.key = "resource",
                            .meaning = "ID or label of the resource",
                            .required = names_a_file(purpose) && !has_default_resource};
  if (has_default_resource) resource.default_value = json_string(kDefaultResource);
  return FieldTable<LevelsForm>()
      .add({.key = "project", .meaning = "ID or label of the project", .required = true},
           parsed_text(&LevelsForm::project, kName))
      .add({.key = "subject", .meaning = "ID or label of the subject", .default_words = "none"},
           parsed_text(&LevelsForm::subject, kName))
      .add({.key = "session", .meaning = "ID or label of the session", .default_words = "none"},
           parsed_text(&LevelsForm::session, kName))
      .add({.key = "containerType",
            .meaning = "what of the session holds the resource",
            .default_words = "the session itself"},
           choice(&LevelsForm::container_type, {"scans", "reconstructions", "assessors"}))
      .add({.key = "container",
            .meaning = "ID or label of the scan, reconstruction or assessor, or its type",
            .default_words = "none"},
           parsed_text(&LevelsForm::container, kName))
      .add(std::move(resource), parsed_text(&LevelsForm::resource, kName))
      .add(needs("containerType", {"session"}, "session", "missing, containerType needs it"))
      .add(needs("container", {"containerType"}, "containerType", "missing, container needs it"))
      .add(rule_of_container(purpose));
}

FieldTable<XnatForm> xnat_table(Purpose purpose) {
  FieldTable<XnatForm> table;
  table
      .add({.key = "baseUrl",
            .meaning = "address of the XNAT site, http:// or https://, without further path",
            .required = true},
           parsed_text(&XnatForm::base_url, kBaseUrl))
      .add({.key = "auth", .meaning = "credentials", .required = true},
           object(&XnatForm::auth, auth_fields()))
      .include(level_fields(purpose), &XnatForm::levels)
      .add({.key = "xsiType",
            .meaning = "to send: type of a container that is made; an existing one must have it",
            .default_words = "none"},
           parsed_text(&XnatForm::xsi_type, kName))
      .add({.key = "overwriteExistingFile",
            .meaning = "to send: whether an existing file is replaced",
            .default_value = JsonValue(false)},
           boolean(&XnatForm::overwrites))
      .add({.key = "disableSSLVerification",
            .meaning = "whether any certificate is accepted",
            .default_value = JsonValue(false)},
           boolean(&XnatForm::disable_verification))
      .include(web_fields(), &XnatForm::web)
      .include(shared_fields(kDefaults), &XnatForm::shared);
  if (!names_a_file(purpose)) {
    return table.add(MisplacedKey{"file", "is for files; a directory ends with the levels above"});
  }
  return table.add(
      {.key = "file", .meaning = "path of the file inside the resource", .required = true},
      parsed_text(&XnatForm::file, kFile));
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
  set_web_options(form.web, site.web, client);
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
  xnat_table(purpose).read(document.root, JsonPlace(), form, problems);
  problems.throw_if_any(document.name);

  XnatAccess access;
  access.base = std::move(*form.base_url);
  access.username = std::move(*form.auth->username);
  access.password = std::move(*form.auth->password);
  LevelsForm& levels = form.levels;
  access.project = std::move(*levels.project);
  access.subject = std::move(levels.subject);
  access.session = std::move(levels.session);
  access.container_type = container_type_named(levels.container_type);
  access.container = std::move(levels.container);
  access.resource = std::move(levels.resource);
  if (sends(purpose) && !access.resource) access.resource = kDefaultResource;
  access.file = std::move(form.file);
  access.xsi_type = form.xsi_type.value_or(std::string());
  access.overwrites = form.overwrites.value_or(false);
  access.options = to_access_options(std::move(form.shared), site, kDefaults);
  access.client = client_options(form, site, access.options);
  access.client.uses_tls = access.base.scheme == "https";
  return access;
}

FormDescription xnat_form(Purpose purpose) { return xnat_table(purpose).description(); }

}  // namespace red
