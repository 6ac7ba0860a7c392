#pragma once

#include <string>

namespace red {

/// Where the system's CA certificates are, as libcurl was told when it was built. What is empty is
/// not used.
struct TrustStore {
  std::string file;       ///< PEM, all in one
  std::string directory;  ///< one per file, named by its hash; used if there is no file
};

TrustStore system_trust_store();

}  // namespace red
