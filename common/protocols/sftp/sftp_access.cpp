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

JsonValue seconds_of(std::chrono::milliseconds time) {
  return json_integer(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

[[noreturn]] void refuse(std::string_view reason) {
  throw Error(ErrorKind::InvalidAccess, std::string(reason));
}

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

// --- Values --------------------------------------------------------------------------------------

/// An IPv6 address may stand in brackets. Names may hold any letters, but nothing that belongs to a
/// URL.
std::string parse_host(std::string_view text) {
  const bool in_brackets = text.starts_with('[') && text.ends_with(']');
  const std::string_view host = in_brackets ? text.substr(1, text.size() - 2) : text;
  const auto is_foreign = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f ||
           std::string_view("/@[]").find(c) != std::string_view::npos;
  };
  if (host.empty() || std::any_of(host.begin(), host.end(), is_foreign)) {
    refuse("must be a name or an address and nothing else");
  }
  if (std::count(host.begin(), host.end(), ':') == 1) refuse("must not hold a port; port is a key");
  return std::string(host);
}

/// C strings carry it from here on.
std::string parse_without_nul(std::string_view text) {
  if (text.find('\0') != text.npos) refuse("must not hold NUL");
  return std::string(text);
}

constexpr TextForm<std::string> kHost{
    {R"(^(?:[^\x00-\x20\x7f/@\[\]]+|\[[^\x00-\x20\x7f/@\[\]]+\])$)", "^[^:]*:[^:]*$"}, parse_host};
constexpr TextForm<std::string> kWithoutNul{{R"(^[^\x00]+$)"}, parse_without_nul};

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

/// Visible characters, with commas between the names and blanks around them.
constexpr TextPattern kCiphers{R"(^ *[\x21-\x2b\x2d-\x7e]+ *(?:, *[\x21-\x2b\x2d-\x7e]+ *)*$)"};

Binding<SftpForm> ciphers_binding() {
  return {{{.type = JsonType::String, .min_length = 1, .pattern = kCiphers},
           {.type = JsonType::Array,
            .min_elements = 1,
            .elements = {{.type = JsonType::String, .pattern = kCiphers}}}},
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
std::string parse_host_key(std::string_view text) {
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

/// A fingerprint alone, or words: the second or the third may be the key, and the first is no
/// marker.
constexpr TextForm<std::string> kHostKey{
    {R"(^SHA256:[0-9A-Za-z+/]{43}=*$|)"
     R"(^[ \t\r\n]*[^@ \t\r\n][^ \t\r\n]*[ \t\r\n]+(?:[^ \t\r\n]+[ \t\r\n]+)?)"
     R"([0-9A-Za-z+/]+={0,2}(?:[ \t\r\n]|$))",
     R"(^SHA256:[^ \t\r\n]*[ \t\r\n])"},
    parse_host_key};

// --- Tables --------------------------------------------------------------------------------------

/// That it can be used is found out when the passphrase is known, too.
Binding<AuthForm> private_key_binding() {
  Binding<AuthForm> binding = text(&AuthForm::private_key);
  binding.shapes.front().pattern = {"-----BEGIN [^-]*PRIVATE KEY-----"};
  return binding;
}

const FieldTable<AuthForm>& auth_fields() {
  static const auto table =
      FieldTable<AuthForm>()
          .add({.key = "username", .meaning = "user name on the server", .required = true},
               parsed_text(&AuthForm::username, kWithoutNul))
          .add({.key = "password", .meaning = "password, unless there is a privateKey"},
               secret(&AuthForm::password))
          .add({.key = "privateKey",
                .meaning = "text of a private key: OpenSSH's format or PEM, instead of a password"},
               private_key_binding())
          .add({.key = "passphrase",
                .meaning = "what privateKey is encrypted with",
                .default_words = "none"},
               secret(&AuthForm::passphrase))
          .add(one_of_needed({"password", "privateKey"}, {}, "needs password or privateKey"))
          .add(not_together("password", {"privateKey"}, {}, "password or privateKey, not both"))
          .add(needs("passphrase", {"privateKey"}, "passphrase", "goes with a privateKey only"));
  return table;
}

const FieldTable<LegacyAuthForm>& legacy_auth_fields() {
  static const auto table =
      FieldTable<LegacyAuthForm>()
          .add({.key = "username", .meaning = "user name, instead of auth"},
               parsed_text(&LegacyAuthForm::username, kWithoutNul))
          .add({.key = "password", .meaning = "password, instead of auth"},
               secret(&LegacyAuthForm::password))
          .add(one_of_needed({"auth", "username", "password"}, "auth", "missing"))
          .add(needs("username", {"password", "auth"}, "password"))
          .add(needs("password", {"username", "auth"}, "username"))
          .add(not_together("auth", {"username"}, "username", "contradicts auth"))
          .add(not_together("auth", {"password"}, "password", "contradicts auth"));
  return table;
}

bool names_a_file(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

FieldTable<PathForm> file_path_fields() {
  constexpr std::string_view kReason = "is for directories; a file has a filePath";
  return FieldTable<PathForm>()
      .add({.key = "filePath",
            .meaning = "file; ~/x and relative paths start in the home directory"},
           parsed_text(&PathForm::file_path, kWithoutNul))
      .add({.key = "fileDir", .meaning = "directory of the file fileName, instead of filePath"},
           parsed_text(&PathForm::file_dir, kWithoutNul))
      .add({.key = "fileName", .meaning = "name of the file in fileDir, instead of filePath"},
           parsed_text(&PathForm::file_name, kWithoutNul))
      .add(MisplacedKey{"dirPath", kReason})
      .add(one_of_needed({"filePath", "fileDir", "fileName"}, "filePath", "missing"))
      .add(needs("fileDir", {"fileName", "filePath"}, "fileName"))
      .add(needs("fileName", {"fileDir", "filePath"}, "fileDir"))
      .add(not_together("filePath", {"fileDir"}, "fileDir", "contradicts filePath"))
      .add(not_together("filePath", {"fileName"}, "fileName", "contradicts filePath"));
}

FieldTable<PathForm> dir_path_fields() {
  constexpr std::string_view kReason = "is for files; a directory has a dirPath";
  return FieldTable<PathForm>()
      .add({.key = "dirPath",
            .meaning = "directory; ~/x and relative paths start in the home directory"},
           parsed_text(&PathForm::dir_path, kWithoutNul))
      .add({.key = "fileDir", .meaning = "the earlier name of dirPath"},
           parsed_text(&PathForm::file_dir, kWithoutNul))
      .add(MisplacedKey{"filePath", kReason})
      .add(MisplacedKey{"fileName", kReason})
      .add(one_of_needed({"dirPath", "fileDir"}, "dirPath", "missing"))
      .add(not_together("dirPath", {"fileDir"}, "fileDir", "contradicts dirPath"));
}

FieldTable<SftpForm> sftp_table(Purpose purpose) {
  return FieldTable<SftpForm>()
      .add({.key = "host", .meaning = "name or address of the server", .required = true},
           parsed_text(&SftpForm::host, kHost))
      .add({.key = "port",
            .meaning = "port of the server",
            .default_value = json_integer(SftpAccess{}.port)},
           integer(&SftpForm::port, 1, kMaxPort))
      .add({.key = "auth", .meaning = "credentials"}, object(&SftpForm::auth, auth_fields()))
      .include(legacy_auth_fields(), &SftpForm::legacy_auth)
      .include(names_a_file(purpose) ? file_path_fields() : dir_path_fields(), &SftpForm::path)
      .add({.key = "writable",
            .meaning = "mount-dir: whether files can be changed",
            .default_value = JsonValue(false)},
           boolean(&SftpForm::writable))
      .add({.key = "ciphers",
            .meaning = "names of ciphers, best first: a string with commas, or an array",
            .default_words = "fast ones that both sides know"},
           ciphers_binding())
      .add({.key = "authTimeout",
            .meaning = "seconds to wait for the answer to the credentials",
            .default_value = seconds_of(SftpAccess{}.auth_timeout)},
           positive_number(&SftpForm::auth_timeout, kMaxTimeout))
      .add({.key = "bannerTimeout",
            .meaning = "seconds to wait for the server's first line",
            .default_value = seconds_of(SftpAccess{}.banner_timeout)},
           positive_number(&SftpForm::banner_timeout, kMaxTimeout))
      .add({.key = "hostKey",
            .meaning = "the server's key: SHA256: fingerprint or line of known_hosts",
            .default_words = "any key is accepted"},
           parsed_text(&SftpForm::host_key, kHostKey))
      .include(shared_fields(kDefaults), &SftpForm::shared)
      .add(not_together(KeyCondition::is_true("writable"), {"listing"}, "writable",
                        "contradicts listing: a tree that is known beforehand is read-only"));
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
  sftp_table(purpose).read(document.root, JsonPlace(), form, problems);
  if (form.auth) check_private_key(*form.auth, problems);
  problems.throw_if_any(document.name);

  SftpAccess access;
  access.options = to_access_options(std::move(form.shared), site, kDefaults);
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

FormDescription sftp_form(Purpose purpose) { return sftp_table(purpose).description(); }

}  // namespace red
