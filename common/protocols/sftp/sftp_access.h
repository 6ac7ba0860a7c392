#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/access/shared_fields.h"
#include "common/json/form_description.h"
#include "common/json/json_document.h"
#include "common/remote/access_options.h"
#include "common/remote/remote_store.h"

namespace red {

/// What the access data of an SSH connector says, checked and complete. Plain data.
struct SftpAccess {
  std::string host;  ///< name, IPv4 or IPv6 address, without brackets
  std::uint16_t port = 22;
  std::string username;
  std::optional<std::string> password;  ///< exactly one of password and private_key; may be empty
  std::optional<std::string> private_key;  ///< its text as given; SshKey::parse takes it
  std::string passphrase;                  ///< empty: none
  std::string path;  ///< as given: "/absolute", "~/below/home", "relative to home"
  bool writable = false;
  std::vector<std::string> ciphers;  ///< in the order of preference; empty: the library's
  std::chrono::milliseconds connect_timeout{120'000};
  std::chrono::milliseconds auth_timeout{60'000};
  std::chrono::milliseconds banner_timeout{60'000};
  /// "SHA256:" and 43 characters of base64, or "TYPE BASE64" of a known_hosts line without its
  /// hosts and comment (TYPE is what to ask the server for). Empty: any key is accepted and logged.
  std::string host_key;
  AccessOptions options;
};

/// Checks the access data for one purpose and completes it with the site's defaults. Reads the
/// private key, too, but touches no network. Throws Error{InvalidAccess} with everything that is
/// wrong, one line each.
SftpAccess read_sftp_access(JsonDocument document, Purpose purpose, const SiteOptions& site);

/// The form of the access data for one purpose.
FormDescription sftp_form(Purpose purpose);

}  // namespace red
