#include "common/protocols/http/http_access.h"

#include <algorithm>
#include <array>

#include "common/logging.h"

namespace red {
namespace {

constexpr ProtocolDefaults kDefaults{.connections = 32,
                                     .connect_timeout = std::chrono::seconds(10)};

/// `auth` as it is written.
struct AuthForm {
  std::optional<std::string> username;
  std::optional<std::string> password;
  std::optional<std::string> method;
  std::optional<std::string> token;
};

/// The whole form as it is written.
struct HttpForm {
  std::optional<Url> url;
  std::optional<std::string> method;
  std::optional<AuthForm> auth;
  std::optional<bool> disable_verification;
  std::optional<HttpHeaders> headers;
  std::optional<std::string> archive_format;
  WebForm web;
  SharedForm shared;
};

std::string upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return text;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string parse_username(const std::string& text) {
  if (std::none_of(text.begin(), text.end(), is_control)) return text;
  throw Error(ErrorKind::InvalidAccess, "must not hold control characters");
}

/// RFC 6750 section 2.1 allows less; what is refused here cannot stand in a header field.
std::string parse_token(const std::string& text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; })) {
    return text;
  }
  throw Error(ErrorKind::InvalidAccess, "must hold visible ASCII characters only");
}

const FieldTable<AuthForm>& auth_fields() {
  static const auto table =
      FieldTable<AuthForm>()
          .add({"username", "user name, together with password"},
               parsed_text(&AuthForm::username, parse_username))
          .add({"password", "password, together with username"}, secret(&AuthForm::password))
          .add({"method", "how user name and password are proved", "BASIC"},
               choice(&AuthForm::method, {"BASIC", "Basic", "basic", "DIGEST", "Digest", "digest"}))
          .add({"token", "bearer token, instead of username and password"},
               parsed_text(&AuthForm::token, parse_token));
  return table;
}

/// RFC 9110 section 5.6.2.
bool is_token(std::string_view name) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

/// Fields by which a request would mean another one than ours.
bool is_reserved_header(const std::string& name) {
  constexpr std::array<std::string_view, 20> kReserved{"ACCEPT-ENCODING",
                                                       "CONNECTION",
                                                       "CONTENT-LENGTH",
                                                       "CONTENT-RANGE",
                                                       "DEPTH",
                                                       "EXPECT",
                                                       "HOST",
                                                       "HTTP2-SETTINGS",
                                                       "IF-MATCH",
                                                       "IF-NONE-MATCH",
                                                       "IF-RANGE",
                                                       "IF-MODIFIED-SINCE",
                                                       "IF-UNMODIFIED-SINCE",
                                                       "KEEP-ALIVE",
                                                       "PROXY-CONNECTION",
                                                       "RANGE",
                                                       "TE",
                                                       "TRAILER",
                                                       "TRANSFER-ENCODING",
                                                       "UPGRADE"};
  return std::find(kReserved.begin(), kReserved.end(), upper_case(name)) != kReserved.end();
}

/// What is wrong with a header field; empty if nothing is.
std::string_view fault_of(const JsonValue::Member& field, const HttpHeaders& earlier) {
  const std::string* value = field.value.string();
  if (!value) return "must be a string";
  if (!is_token(field.name)) return "is no name of a header field";
  if (is_reserved_header(field.name)) return "is set by the connector itself";
  if (earlier.find(field.name)) return "stands here more than once (case does not count)";
  const auto is_forbidden = [](char c) { return is_control(c) && c != '\t'; };
  if (std::any_of(value->begin(), value->end(), is_forbidden)) {
    return "must not hold control characters";
  }
  return {};
}

Binding<HttpForm> headers_binding() {
  return {{{.type = JsonType::Object, .any_keys = true}},
          [](const JsonValue& value, const JsonPlace& place, HttpForm& form, Problems& problems) {
            HttpHeaders& headers = form.headers.emplace();
            for (const JsonValue::Member& field : *value.object()) {
              const std::string_view fault = fault_of(field, headers);
              if (fault.empty()) {
                headers.add(field.name, *field.value.string());
              } else {
                problems.add(JsonPlace(place, field.name), fault);
              }
            }
          }};
}

const FieldTable<HttpForm>& http_table() {
  static const auto table =
      FieldTable<HttpForm>()
          .add({.key = "url",
                .meaning = "http:// or https://; spaces and non-ASCII characters are encoded",
                .required = true},
               parsed_text(&HttpForm::url, Url::parse))
          .add({"method", "method of the request",
                "receive and mount: GET; send-file: POST; send-dir: PUT"},
               choice(&HttpForm::method,
                      {"GET", "Get", "get", "PUT", "Put", "put", "POST", "Post", "post"}))
          .add({"auth", "credentials", "none"}, object(&HttpForm::auth, auth_fields()))
          .add({"disableSSLVerification", "whether any certificate is accepted", "false"},
               boolean(&HttpForm::disable_verification))
          .add({"headers", "header fields that are sent with every request", "none"},
               headers_binding())
          .add({"archiveFormat", "red-connector-http-archive: the format to unpack"},
               choice(&HttpForm::archive_format, {"zip", "tar", "gztar", "bztar", "xztar"}))
          .include(web_fields(), &HttpForm::web)
          .include(shared_fields(), &HttpForm::shared);
  return table;
}

/// The method when the access data names none.
std::string default_method(Purpose purpose) {
  if (purpose == Purpose::SendFile) return "POST";
  return purpose == Purpose::SendDir ? "PUT" : "GET";
}

bool transfers_one_file(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

std::string method_for(Purpose purpose, const HttpForm& form, Problems& problems) {
  const std::string expected = default_method(purpose);
  const std::string method = form.method ? upper_case(*form.method) : expected;
  if (method != expected && !transfers_one_file(purpose)) {
    problems.add("/method", std::string(purpose == Purpose::SendDir ? "sending" : "reading") +
                                " a directory takes " + expected + " only");
  }
  return method;
}

/// Looks at what is written, not at what was read: a key that has a wrong value is not missing.
void check_auth(const JsonValue& auth, Problems& problems) {
  const bool has_username = auth.find("username") != nullptr;
  const bool has_password = auth.find("password") != nullptr;
  if (auth.find("token")) {
    if (has_username || has_password) {
      problems.add("/auth", "username and password, or token, not both");
    }
    if (auth.find("method")) problems.add("/auth/method", "does not go with a token");
  } else if (!has_username && !has_password) {
    problems.add("/auth", "needs username and password, or token");
  } else if (!has_username || !has_password) {
    problems.add(has_username ? "/auth/password" : "/auth/username", "missing");
  }
}

HttpCredentials credentials_in(const AuthForm& auth) {
  if (auth.token) return {HttpCredentials::Scheme::Bearer, {}, *auth.token};
  const bool is_digest = auth.method && upper_case(*auth.method) == "DIGEST";
  return {is_digest ? HttpCredentials::Scheme::Digest : HttpCredentials::Scheme::Basic,
          *auth.username, *auth.password};
}

/// user:password@ in the URL, percent-encoded.
HttpCredentials credentials_in(const Url& url) {
  if (url.userinfo.empty()) return {};
  const auto colon = url.userinfo.find(':');
  const auto decoded = [](const std::string& text) {
    return decode_component(text).value_or(text);
  };
  return {HttpCredentials::Scheme::Basic, decoded(url.userinfo.substr(0, colon)),
          colon == std::string::npos ? "" : decoded(url.userinfo.substr(colon + 1))};
}

HttpClientOptions client_options(const HttpForm& form, const SiteOptions& site,
                                 const AccessOptions& options) {
  HttpClientOptions client;
  client.credentials = form.auth ? credentials_in(*form.auth) : credentials_in(*form.url);
  client.headers = form.headers.value_or(HttpHeaders{});
  client.verify_tls = !form.disable_verification.value_or(false);
  client.ca_certificate =
      form.web.ca_certificate.value_or(site.web.ca_certificate.value_or(std::string()));
  client.proxy = form.web.proxy.value_or(site.web.proxy.value_or(std::string()));
  client.connect_timeout = options.connect_timeout;
  client.max_connections = options.connections;
  client.uses_tls = form.url->scheme == "https";
  return client;
}

constexpr std::string_view kJsonType = "application/json";

/// Whether a Content-Type is JSON's, with parameters or without (RFC 9110 section 8.3.1).
bool is_json_type(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return upper_case(std::string(type)) == upper_case(std::string(kJsonType));
}

void check_content_type(const HttpHeaders& headers, Problems& problems) {
  const auto type = headers.find("Content-Type");
  if (type && !is_json_type(*type)) {
    problems.add("/headers", "Content-Type can only be application/json here");
  }
}

}  // namespace

HttpAccess read_http_access(JsonDocument document, Purpose purpose, const SiteOptions& site,
                            HttpContent content) {
  HttpForm form;
  http_table().read(document.root, JsonPlace(), form, document.problems);
  HttpAccess access;
  access.method = method_for(purpose, form, document.problems);
  if (form.auth) check_auth(*document.root.find("auth"), document.problems);
  if (form.auth && form.headers && form.headers->find("Authorization")) {
    document.problems.add("/headers", "Authorization contradicts auth");
  }
  if (content == HttpContent::Json && form.headers) {
    check_content_type(*form.headers, document.problems);
  }
  if (content == HttpContent::Archive && !document.root.find("archiveFormat")) {
    document.problems.add("/archiveFormat", "missing");
  }
  document.problems.throw_if_any(document.name);

  access.url = *form.url;
  access.options = to_access_options(form.shared, site, kDefaults);
  access.client = client_options(form, site, access.options);
  if (content == HttpContent::Json) access.content_type = kJsonType;
  access.archive_format = form.archive_format.value_or("");
  if (form.archive_format && content != HttpContent::Archive) {
    log(LogLevel::Warning,
        "archiveFormat is for red-connector-http-archive: nothing is unpacked here");
  }
  return access;
}

const std::vector<FieldDescription>& http_fields() { return http_table().descriptions(); }

}  // namespace red
