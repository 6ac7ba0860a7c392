#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace red {

/// How many X.509 certificates a text holds in PEM form (RFC 7468 section 5), one after the other.
std::size_t count_certificates(std::string_view pem);

/// Whether a text holds at least one.
bool holds_certificate(std::string_view pem);

/// What a certificate says, for people.
struct CertificateSummary {
  std::string subject;  ///< its common name, else all of it
  std::string issuer;   ///< the same
  std::chrono::sys_seconds valid_until{};
};

CertificateSummary summary_of(const X509& certificate);

}  // namespace red
