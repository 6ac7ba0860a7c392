#pragma once

#include <filesystem>
#include <optional>
#include <span>

namespace red {

/// Certificates of authorities to trust where the access data names none.
struct CaStore {
  enum class Origin {
    Environment,  ///< SSL_CERT_FILE or SSL_CERT_DIR, as OpenSSL takes them
    System,       ///< one of the places where distributions keep theirs
    OwnCopy,      ///< came with the program, for images that have none
  };
  std::filesystem::path path;
  bool is_directory = false;  ///< of hashed links (openssl-rehash(1)); else one file of PEM text
  Origin origin = Origin::System;
};

/// The store that TLS is checked against: what the environment names, be it there or not, since an
/// error is better than trusting others than the user meant; else the system's, else the program's
/// own copy. SSL_CERT_FILE goes before SSL_CERT_DIR. Nothing if there is none. Thread-safe.
std::optional<CaStore> find_ca_store();

/// The same for given places, of which the first is taken that is a file with anything in it.
std::optional<CaStore> find_ca_store(std::span<const std::filesystem::path> system_places,
                                     const std::filesystem::path& own_copy);

}  // namespace red
