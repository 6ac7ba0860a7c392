#include "common/net/ca_store.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <system_error>

namespace red {
namespace {

namespace fs = std::filesystem;

// As in Go's crypto/x509/root_linux.go, which gathers the places of all distributions.
const std::array<fs::path, 6> kSystemPlaces{
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Alpine, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",                   // Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/etc/pki/tls/cacert.pem",                            // OpenELEC
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Red Hat
    "/etc/ssl/cert.pem",                                  // Alpine without ca-certificates
};

/// A package that was installed halfway leaves an empty one.
bool holds_something(const fs::path& file) {
  std::error_code failure;
  return fs::is_regular_file(file, failure) && fs::file_size(file, failure) > 0 && !failure;
}

std::optional<CaStore> find_in_environment() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text == nullptr ? "" : text);
  };
  if (const std::string file = value("SSL_CERT_FILE"); !file.empty()) {
    return CaStore{file, false, CaStore::Origin::Environment};
  }
  if (const std::string directory = value("SSL_CERT_DIR"); !directory.empty()) {
    return CaStore{directory, true, CaStore::Origin::Environment};
  }
  return std::nullopt;
}

/// Beside the folder that the program was started from. In a self-contained package that is the
/// one of the dynamic loader, which is then what the kernel has started.
fs::path own_copy() {
  std::error_code failure;
  const fs::path program = fs::read_symlink("/proc/self/exe", failure);
  return program.parent_path().parent_path() / "share/red-connector/ca-certificates.crt";
}

}  // namespace

std::optional<CaStore> find_ca_store(std::span<const fs::path> system_places,
                                     const fs::path& own_copy) {
  if (auto store = find_in_environment()) return store;
  const auto place = std::find_if(system_places.begin(), system_places.end(), holds_something);
  if (place != system_places.end()) return CaStore{*place, false, CaStore::Origin::System};
  if (holds_something(own_copy)) return CaStore{own_copy, false, CaStore::Origin::OwnCopy};
  return std::nullopt;
}

std::optional<CaStore> find_ca_store() { return find_ca_store(kSystemPlaces, own_copy()); }

}  // namespace red
