#include "common/net/trust_store.h"

#include <curl/curl.h>

namespace red {

TrustStore system_trust_store() {
  const curl_version_info_data* curl = curl_version_info(CURLVERSION_NOW);
  // With a directory beside the file, libcurl reads the certificates anew for every connection
  // (20 ms).
  if (curl->cainfo != nullptr) return {.file = curl->cainfo, .directory = {}};
  return {.file = {}, .directory = curl->capath != nullptr ? curl->capath : ""};
}

}  // namespace red
