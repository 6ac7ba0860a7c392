#include "common/protocols/http/http_access.h"

#include <algorithm>
#include <array>
#include <utility>

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

std::string parse_username(std::string_view text) {
  if (std::none_of(text.begin(), text.end(), is_control)) return std::string(text);
  throw Error(ErrorKind::InvalidAccess, "must not hold control characters");
}

/// RFC 6750 section 2.1 allows less; what is refused here cannot stand in a header field.
std::string parse_token(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; })) {
    return std::string(text);
  }
  throw Error(ErrorKind::InvalidAccess, "must hold visible ASCII characters only");
}

constexpr TextForm<Url> kUrl{{kUrlPattern}, Url::parse};
constexpr TextForm<std::string> kUsername{{R"(^[^\x00-\x1f\x7f]+$)"}, parse_username};
constexpr TextForm<std::string> kToken{{R"(^[\x21-\x7e]+$)"}, parse_token};

const FieldTable<AuthForm>& auth_fields() {
  static const auto table =
      FieldTable<AuthForm>()
          .add({.key = "username", .meaning = "user name, together with password"},
               parsed_text(&AuthForm::username, kUsername))
          .add({.key = "password", .meaning = "password, together with username"},
               secret(&AuthForm::password))
          .add({.key = "method",
                .meaning = "how user name and password are proved",
                .default_value = json_string("BASIC")},
               choice(&AuthForm::method, {"BASIC", "Basic", "basic", "DIGEST", "Digest", "digest"}))
          .add({.key = "token", .meaning = "bearer token, instead of username and password"},
               parsed_text(&AuthForm::token, kToken))
          .add(one_of_needed({"username", "password", "token"}, {},
                             "needs username and password, or token"))
          .add(needs("username", {"password", "token"}, "password"))
          .add(needs("password", {"username", "token"}, "username"))
          .add(not_together("token", {"username", "password"}, {},
                            "username and password, or token, not both"))
          .add(not_together("token", {"method"}, "method", "does not go with a token"));
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
constexpr std::array<std::string_view, 20> kReservedHeaders{"Accept-Encoding",
                                                            "Connection",
                                                            "Content-Length",
                                                            "Content-Range",
                                                            "Depth",
                                                            "Expect",
                                                            "Host",
                                                            "HTTP2-Settings",
                                                            "If-Match",
                                                            "If-None-Match",
                                                            "If-Range",
                                                            "If-Modified-Since",
                                                            "If-Unmodified-Since",
                                                            "Keep-Alive",
                                                            "Proxy-Connection",
                                                            "Range",
                                                            "TE",
                                                            "Trailer",
                                                            "Transfer-Encoding",
                                                            "Upgrade"};

bool is_reserved_header(const std::string& name) {
  return std::any_of(kReservedHeaders.begin(), kReservedHeaders.end(),
                     [&](std::string_view each) { return equals_ignoring_case(each, name); });
}

constexpr std::string_view kContentType = "Content-Type";
constexpr std::string_view kJsonType = "application/json";

/// Whether a Content-Type is JSON's, with parameters or without (RFC 9110 section 8.3.1).
bool is_json_type(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return equals_ignoring_case(type, kJsonType);
}
constexpr TextPattern kJsonTypes{R"(^[Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]/[Jj][Ss][Oo][Nn])"
                                 R"([ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?$)"};

/// What is wrong with a header field; empty if nothing is.
std::string_view fault_of(const JsonValue::Member& field, const HttpHeaders& earlier,
                          HttpContent content) {
  const std::string* value = field.value.string();
  if (!value) return "must be a string";
  if (!is_token(field.name)) return "is no name of a header field";
  if (is_reserved_header(field.name)) return "is set by the connector itself";
  if (earlier.find(field.name)) return "stands here more than once (case does not count)";
  const auto is_forbidden = [](char c) { return is_control(c) && c != '\t'; };
  if (std::any_of(value->begin(), value->end(), is_forbidden)) {
    return "must not hold control characters";
  }
  const bool must_be_json =
      content == HttpContent::Json && equals_ignoring_case(field.name, kContentType);
  if (must_be_json && !is_json_type(*value)) return "can only be application/json here";
  return {};
}

/// A text without control characters, but for the tab.
constexpr TextPattern kHeaderValue{R"(^[^\x00-\x08\x0a-\x1f\x7f]*$)"};

ValueShape shape_of_headers(HttpContent content) {
  static const std::string reserved =
      pattern_of_any_case({kReservedHeaders.begin(), kReservedHeaders.end()});
  ValueShape shape{.type = JsonType::Object,
                   .elements = {{.type = JsonType::String, .pattern = kHeaderValue}},
                   .key_pattern = {"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", reserved}};
  if (content == HttpContent::Json) {
    shape.keyed_elements.push_back(
        {pattern_of_any_case({kContentType}), {.type = JsonType::String, .pattern = kJsonTypes}});
  }
  return shape;
}

Binding<HttpForm> headers_binding(HttpContent content) {
  return {{shape_of_headers(content)},
          [content](const JsonValue& value, const JsonPlace& place, HttpForm& form,
                    Problems& problems) {
            HttpHeaders& headers = form.headers.emplace();
            for (const JsonValue::Member& field : *value.object()) {
              const std::string_view fault = fault_of(field, headers, content);
              if (fault.empty()) {
                headers.add(field.name, *field.value.string());
              } else {
                problems.add(JsonPlace(place, field.name), fault);
              }
            }
          }};
}

/// The method when the access data names none.
std::string_view default_method(Purpose purpose) {
  if (purpose == Purpose::SendFile) return "POST";
  return purpose == Purpose::SendDir ? "PUT" : "GET";
}

/// A directory takes no other method than its default.
Binding<HttpForm> method_binding(Purpose purpose) {
  Binding<HttpForm> binding =
      choice(&HttpForm::method, {"GET", "Get", "get", "PUT", "Put", "put", "POST", "Post", "post"});
  ValueShape& shape = binding.shapes.front();
  if (purpose == Purpose::ReceiveDir || purpose == Purpose::MountDir) {
    shape.values = {"GET", "Get", "get"};
    shape.words = "GET, Get or get (a directory is read by no other method)";
  } else if (purpose == Purpose::SendDir) {
    shape.values = {"PUT", "Put", "put"};
    shape.words = "PUT, Put or put (a directory is sent by no other method)";
  }
  return binding;
}

FieldTable<HttpForm> http_table(Purpose purpose, HttpContent content) {
  return FieldTable<HttpForm>()
      .add({.key = "url",
            .meaning = "http:// or https://; spaces and non-ASCII characters are encoded",
            .required = true},
           parsed_text(&HttpForm::url, kUrl))
      .add({.key = "method",
            .meaning = "method of the request",
            .default_value = json_string(default_method(purpose))},
           method_binding(purpose))
      .add({.key = "auth", .meaning = "credentials", .default_words = "none"},
           object(&HttpForm::auth, auth_fields()))
      .add({.key = "disableSSLVerification",
            .meaning = "whether any certificate is accepted",
            .default_value = JsonValue(false)},
           boolean(&HttpForm::disable_verification))
      .add({.key = "headers",
            .meaning = "header fields that are sent with every request",
            .default_words = "none"},
           headers_binding(content))
      .add({.key = "archiveFormat",
            .meaning = "red-connector-http-archive: the format to unpack",
            .required = content == HttpContent::Archive},
           choice(&HttpForm::archive_format, {"zip", "tar", "gztar", "bztar", "xztar"}))
      .include(web_fields(), &HttpForm::web)
      .include(shared_fields(kDefaults), &HttpForm::shared)
      .add(not_together("auth", {{"headers", "Authorization"}}, "headers",
                        "Authorization contradicts auth"));
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
  set_web_options(form.web, site.web, client);
  client.connect_timeout = options.connect_timeout;
  client.max_connections = options.connections;
  client.uses_tls = form.url->scheme == "https";
  return client;
}

}  // namespace

HttpAccess read_http_access(JsonDocument document, Purpose purpose, const SiteOptions& site,
                            HttpContent content) {
  HttpForm form;
  http_table(purpose, content).read(document.root, JsonPlace(), form, document.problems);
  document.problems.throw_if_any(document.name);

  HttpAccess access;
  access.method = upper_case(form.method.value_or(std::string(default_method(purpose))));
  access.url = *form.url;
  access.options = to_access_options(std::move(form.shared), site, kDefaults);
  access.client = client_options(form, site, access.options);
  if (content == HttpContent::Json) access.content_type = kJsonType;
  access.archive_format = form.archive_format.value_or("");
  if (form.archive_format && content != HttpContent::Archive) {
    log(LogLevel::Warning,
        "archiveFormat is for red-connector-http-archive: nothing is unpacked here");
  }
  return access;
}

FormDescription http_form(Purpose purpose, HttpContent content) {
  return http_table(purpose, content).description();
}

}  // namespace red
