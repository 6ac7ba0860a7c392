#include "common/net/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

namespace red {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

/// Up to `most` of them.
std::size_t count_up_to(std::size_t most, std::string_view pem) {
  const Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::size_t count = 0;
  while (count < most) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), &X509_free);
    if (certificate == nullptr) break;
    ++count;
  }
  // A failure would be taken for that of whatever uses the library next.
  ERR_clear_error();
  return count;
}

std::string name_text(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index >= 0) {
    unsigned char* text = nullptr;
    const ASN1_STRING* common = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
    const int size = ASN1_STRING_to_UTF8(&text, common);
    const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(
        text, [](unsigned char* bytes) { OPENSSL_free(bytes); });
    if (size > 0) return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
  }
  const Bio all(BIO_new(BIO_s_mem()), &BIO_free);
  X509_NAME_print_ex(all.get(), name, 0, XN_FLAG_ONELINE);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(all.get(), &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

std::size_t count_certificates(std::string_view pem) {
  return count_up_to(static_cast<std::size_t>(-1), pem);
}

bool holds_certificate(std::string_view pem) { return count_up_to(1, pem) == 1; }

CertificateSummary summary_of(const X509& certificate) {
  CertificateSummary summary;
  summary.subject = name_text(X509_get_subject_name(&certificate));
  summary.issuer = name_text(X509_get_issuer_name(&certificate));
  std::tm end = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &end) == 1) {
    summary.valid_until = std::chrono::sys_seconds(std::chrono::seconds(timegm(&end)));
  }
  return summary;
}

}  // namespace red
