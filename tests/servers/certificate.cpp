#include "tests/servers/certificate.h"

#include <stdexcept>

#include "tests/support/process.h"

namespace red::testing {

Certificate make_certificate(const std::filesystem::path& directory) {
  Certificate made{directory / "certificate.pem", directory / "key.pem"};
  const Outcome outcome =
      run({.arguments = {"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                         "-keyout", made.key, "-out", made.certificate}});
  if (outcome.exit_code != 0) throw std::runtime_error("openssl: " + outcome.errors);
  return made;
}

}  // namespace red::testing
