#include "common/net/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <memory>

namespace red {

bool holds_certificate(std::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), &X509_free);
  // A failure would be taken for that of whatever uses the library next.
  ERR_clear_error();
  return certificate != nullptr;
}

}  // namespace red
