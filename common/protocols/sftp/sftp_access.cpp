#include "common/protocols/sftp/sftp_access.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "common/protocols/sftp/blob_reader.h"
#include "common/protocols/sftp/key_text.h"
#include "common/protocols/sftp/ssh_key.h"

namespace red {
namespace {

constexpr ProtocolDefaults kDefaults{.connections = 4,
                                     .connect_timeout = std::chrono::seconds(120)};
constexpr int kMaxPort = 65'535;
/// A day, as for `timeout`.
constexpr double kMaxTimeout = 86'400;

/// `auth` as it is written.
struct AuthForm {
  std::optional<std::string> username;
  std::optional<std::string> password;
  std::optional<std::string> private_key;
  std::optional<std::string> passphrase;
};

/// The first generation's place for credentials.
struct LegacyAuthForm {
  std::optional<std::string> username;
  std::optional<std::string> password;
};

/// What is named, in one of three ways.
struct PathForm {
  std::optional<std::string> file_path;
  std::optional<std::string> file_dir;
  std::optional<std::string> file_name;
  std::optional<std::string> dir_path;
};

/// The whole form as it is written.
struct SftpForm {
  std::optional<std::string> host;
  std::optional<int> port;
  std::optional<AuthForm> auth;
  LegacyAuthForm legacy_auth;
  PathForm path;
  std::optional<bool> writable;
  std::vector<std::string> ciphers;
  std::optional<double> auth_timeout;
  std::optional<double> banner_timeout;
  std::optional<std::string> host_key;
  SharedForm shared;
};

[[noreturn]] void refuse(std::string_view reason) {
  throw Error(ErrorKind::InvalidAccess, std::string(reason));
}

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

// --- Values --------------------------------------------------------------------------------------

/// An IPv6 address may stand in brackets. Names may hold any letters, but nothing that belongs to a
/// URL.
std::string parse_host(const std::string& text) {
  const bool in_brackets = text.starts_with('[') && text.ends_with(']');
  std::string host = in_brackets ? text.substr(1, text.size() - 2) : text;
  const auto is_foreign = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f ||
           std::string_view("/@[]").find(c) != std::string_view::npos;
  };
  if (host.empty() || std::any_of(host.begin(), host.end(), is_foreign)) {
    refuse("must be a name or an address and nothing else");
  }
  if (std::count(host.begin(), host.end(), ':') == 1) refuse("must not hold a port; port is a key");
  return host;
}

/// C strings carry it from here on.
std::string parse_without_nul(const std::string& text) {
  if (text.find('\0') != std::string::npos) refuse("must not hold NUL");
  return text;
}

/// "a, b,c"
bool add_ciphers(std::string_view text, std::vector<std::string>& ciphers) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string_view name = text.substr(begin, end - begin);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_visible)) return false;
    ciphers.emplace_back(name);
    begin = end + 1;
  }
  return true;
}

Binding<SftpForm> ciphers_binding() {
  return {{{.type = JsonType::String, .min_length = 1}, {.type = JsonType::Array}},
          [](const JsonValue& value, const JsonPlace& place, SftpForm& form, Problems& problems) {
            constexpr std::string_view kReason = "must hold names of ciphers";
            if (const std::string* names = value.string()) {
              if (!add_ciphers(*names, form.ciphers)) problems.add(place, kReason);
              return;
            }
            const JsonValue::Array& array = *value.array();
            if (array.empty()) problems.add(place, kReason);
            for (std::size_t i = 0; i < array.size(); ++i) {
              const std::string* names = array[i].string();
              if (!names || !add_ciphers(*names, form.ciphers)) {
                problems.add(JsonPlace(place, i), "must be the name of a cipher");
              }
            }
          }};
}

// --- Host keys -----------------------------------------------------------------------------------

constexpr std::string_view kFingerprint = "SHA256:";

/// As `ssh-keygen -l` prints it.
std::string parse_fingerprint(std::string_view text) {
  constexpr std::size_t kDigest = 32;
  std::string base64(text.substr(kFingerprint.size()));
  while (base64.ends_with('=')) base64.pop_back();
  const auto digest = decode_base64(base64 + "=");
  if (!digest || digest->size() != kDigest) refuse("must be SHA256: and 43 characters of base64");
  return std::string(kFingerprint) + base64;
}

std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r\n";
  std::vector<std::string_view> words;
  for (std::size_t begin = line.find_first_not_of(kBlanks); begin != line.npos;) {
    const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

/// Whether the base64 text is a public key of that type: all of them are strings in a row.
bool is_public_key(std::string_view type, std::string_view base64) {
  const auto blob = decode_base64(base64);
  if (!blob) return false;
  try {
    BlobReader reader(*blob);
    if (text_of(reader.string()) != type || reader.rest().empty()) return false;
    while (!reader.rest().empty()) reader.string();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// "hosts type base64 comment", or the same without hosts, as in files of public keys.
std::string parse_host_key(const std::string& text) {
  if (text.starts_with(kFingerprint)) return parse_fingerprint(text);
  const std::vector<std::string_view> words = words_of(text);
  if (!words.empty() && words[0].starts_with('@')) {
    refuse("must name one key; markers such as @cert-authority are not supported");
  }
  for (std::size_t i = 0; i < 2 && i + 1 < words.size(); ++i) {
    if (is_public_key(words[i], words[i + 1])) {
      return std::string(words[i]) + " " + std::string(words[i + 1]);
    }
  }
  refuse("must be a fingerprint that starts with SHA256:, or a line of known_hosts");
}

// --- Tables --------------------------------------------------------------------------------------

const FieldTable<AuthForm>& auth_fields() {
  static const auto table =
      FieldTable<AuthForm>()
          .add({.key = "username", .meaning = "user name on the server", .required = true},
               parsed_text(&AuthForm::username, parse_without_nul))
          .add({"password", "password, unless there is a privateKey"}, secret(&AuthForm::password))
          .add({"privateKey", "text of a private key: OpenSSH's format or PEM"},
               text(&AuthForm::private_key))
          .add({"passphrase", "what privateKey is encrypted with", "none"},
               secret(&AuthForm::passphrase));
  return table;
}

const FieldTable<LegacyAuthForm>& legacy_auth_fields() {
  static const auto table =
      FieldTable<LegacyAuthForm>()
          .add({"username", "user name, instead of auth"},
               parsed_text(&LegacyAuthForm::username, parse_without_nul))
          .add({"password", "password, instead of auth"}, secret(&LegacyAuthForm::password));
  return table;
}

const FieldTable<PathForm>& path_fields() {
  static const auto table =
      FieldTable<PathForm>()
          .add({"filePath", "file; ~/x and relative paths start in the home directory"},
               parsed_text(&PathForm::file_path, parse_without_nul))
          .add({"fileDir", "directory of the file fileName, instead of filePath or dirPath"},
               parsed_text(&PathForm::file_dir, parse_without_nul))
          .add({"fileName", "name of the file in fileDir, instead of filePath"},
               parsed_text(&PathForm::file_name, parse_without_nul))
          .add({"dirPath", "directory; ~/x and relative paths start in the home directory"},
               parsed_text(&PathForm::dir_path, parse_without_nul));
  return table;
}

const FieldTable<SftpForm>& sftp_table() {
  static const auto table =
      FieldTable<SftpForm>()
          .add({.key = "host", .meaning = "name or address of the server", .required = true},
               parsed_text(&SftpForm::host, parse_host))
          .add({"port", "port of the server", "22"}, integer(&SftpForm::port, 1, kMaxPort))
          .add({"auth", "credentials"}, object(&SftpForm::auth, auth_fields()))
          .include(legacy_auth_fields(), &SftpForm::legacy_auth)
          .include(path_fields(), &SftpForm::path)
          .add({"writable", "mount-dir: whether files can be changed", "false"},
               boolean(&SftpForm::writable))
          .add({"ciphers", "names of ciphers, best first: a string with commas, or an array",
                "the library's"},
               ciphers_binding())
          .add({"authTimeout", "seconds to wait for the answer to the credentials", "60"},
               positive_number(&SftpForm::auth_timeout, kMaxTimeout))
          .add({"bannerTimeout", "seconds to wait for the server's first line", "60"},
               positive_number(&SftpForm::banner_timeout, kMaxTimeout))
          .add({"hostKey", "the server's key: SHA256: fingerprint or line of known_hosts",
                "any key is accepted"},
               parsed_text(&SftpForm::host_key, parse_host_key))
          .include(shared_fields(), &SftpForm::shared);
  return table;
}

// --- What the fields say together ----------------------------------------------------------------
// Looks at what is written, not at what was read: a key that has a wrong value is not missing.

void check_secrets(const JsonValue& auth, Problems& problems) {
  const bool has_password = auth.find("password") != nullptr;
  const bool has_key = auth.find("privateKey") != nullptr;
  if (has_password && has_key) problems.add("/auth", "password or privateKey, not both");
  if (!has_password && !has_key) problems.add("/auth", "needs password or privateKey");
  if (!has_key && auth.find("passphrase")) {
    problems.add("/auth/passphrase", "goes with a privateKey only");
  }
}

void check_legacy_auth(const JsonValue& root, Problems& problems) {
  const bool has_username = root.find("username") != nullptr;
  const bool has_password = root.find("password") != nullptr;
  if (root.find("auth")) {
    if (has_username) problems.add("/username", "contradicts auth");
    if (has_password) problems.add("/password", "contradicts auth");
  } else if (!has_username && !has_password) {
    problems.add("/auth", "missing");
  } else if (!has_username || !has_password) {
    problems.add(has_username ? "/password" : "/username", "missing");
  }
}

void check_private_key(const AuthForm& auth, Problems& problems) {
  if (!auth.private_key) return;
  try {
    SshKey::parse(*auth.private_key, auth.passphrase.value_or(std::string()));
  } catch (const PassphraseError& error) {
    problems.add("/auth/passphrase", error.message());
  } catch (const Error& error) {
    problems.add("/auth/privateKey", error.message());
  }
}

bool names_a_file(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

void check_file_path(const JsonValue& root, Problems& problems) {
  const bool has_directory = root.find("fileDir") != nullptr;
  const bool has_name = root.find("fileName") != nullptr;
  if (root.find("dirPath")) problems.add("/dirPath", "is for directories; a file has a filePath");
  if (root.find("filePath")) {
    if (has_directory) problems.add("/fileDir", "contradicts filePath");
    if (has_name) problems.add("/fileName", "contradicts filePath");
  } else if (!has_directory && !has_name) {
    problems.add("/filePath", "missing");
  } else if (!has_directory || !has_name) {
    problems.add(has_directory ? "/fileName" : "/fileDir", "missing");
  }
}

void check_dir_path(const JsonValue& root, Problems& problems) {
  const bool has_legacy = root.find("fileDir") != nullptr;
  for (const char* key : {"filePath", "fileName"}) {
    if (root.find(key)) {
      problems.add("/" + std::string(key), "is for files; a directory has a dirPath");
    }
  }
  if (!root.find("dirPath") && !has_legacy) problems.add("/dirPath", "missing");
  if (root.find("dirPath") && has_legacy) problems.add("/fileDir", "contradicts dirPath");
}

std::string path_in(const PathForm& form) {
  if (form.file_path) return *form.file_path;
  if (form.dir_path) return *form.dir_path;
  if (!form.file_name) return *form.file_dir;
  return *form.file_dir + (form.file_dir->ends_with('/') ? "" : "/") + *form.file_name;
}

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

}  // namespace

SftpAccess read_sftp_access(JsonDocument document, Purpose purpose, const SiteOptions& site) {
  SftpForm form;
  Problems& problems = document.problems;
  sftp_table().read(document.root, JsonPlace(), form, problems);
  check_legacy_auth(document.root, problems);
  if (form.auth) {
    check_secrets(*document.root.find("auth"), problems);
    check_private_key(*form.auth, problems);
  }
  if (names_a_file(purpose)) {
    check_file_path(document.root, problems);
  } else {
    check_dir_path(document.root, problems);
  }
  if (form.writable.value_or(false) && form.shared.listing) {
    problems.add("/writable", "contradicts listing: a tree that is known beforehand is read-only");
  }
  problems.throw_if_any(document.name);

  SftpAccess access;
  access.options = to_access_options(form.shared, site, kDefaults);
  access.host = std::move(*form.host);
  access.port = static_cast<std::uint16_t>(form.port.value_or(access.port));
  const AuthForm auth =
      form.auth.value_or(AuthForm{form.legacy_auth.username, form.legacy_auth.password, {}, {}});
  access.username = *auth.username;
  access.password = auth.password;
  access.private_key = auth.private_key;
  access.passphrase = auth.passphrase.value_or(std::string());
  access.path = path_in(form.path);
  access.writable = purpose == Purpose::MountDir && form.writable.value_or(false);
  access.ciphers = std::move(form.ciphers);
  access.connect_timeout = access.options.connect_timeout;
  if (form.auth_timeout) access.auth_timeout = milliseconds_of(*form.auth_timeout);
  if (form.banner_timeout) access.banner_timeout = milliseconds_of(*form.banner_timeout);
  access.host_key = form.host_key.value_or(std::string());
  return access;
}

const std::vector<FieldDescription>& sftp_fields() { return sftp_table().descriptions(); }

}  // namespace red
