#include "common/protocols/xnat/xnat_examination.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "common/error.h"
#include "common/json/json_document.h"
#include "common/net/connection_steps.h"
#include "common/net/http_error.h"
#include "common/net/web_findings.h"

namespace red {
namespace {

using namespace std::chrono_literals;

constexpr auto kLimit = 15s;
constexpr std::size_t kMaxText = 64 * 1024;

/// From 1.7 on; open to everybody.
HttpResponse fetch_build(const XnatAccess& access, const XnatQueries& queries,
                         const RequestContext& context) {
  Url url = access.base;
  url.path += "/xapi/siteConfig/buildInfo";
  return exchange(queries.session(), {.url = url.to_string()}, context, kMaxText);
}

/// Empty if it does not say.
std::string version_in(const HttpResponse& response) {
  if (response.head.status != 200) return {};
  try {
    const JsonDocument document = parse_json(response.body, "build information");
    const JsonValue* version = document.root.find("version");
    return version && version->string() ? version->string()->substr(0, 40) : std::string();
  } catch (const Error&) {
    return {};
  }
}

Finding log_in(const XnatAccess& access, const XnatQueries& queries,
               const RequestContext& context) {
  if (queries.is_guest(context)) {
    throw Error(ErrorKind::Authentication, "the server takes " + access.username + " for a guest");
  }
  return {FindingStatus::Ok, "logged in as " + access.username + " (Basic, then a session)"};
}

Finding describe(const HttpResponse& build) {
  const std::string version = version_in(build);
  if (version.empty()) {
    return {FindingStatus::Note,
            "XNAT of a version that it does not tell; 1.8 is what is tested, 1.7 is the oldest"};
  }
  return {FindingStatus::Ok, "XNAT " + version +
                                 "; whole resources come as tar archives, and go there as zip "
                                 "archives that the server unpacks"};
}

}  // namespace

Examination examine_xnat(const XnatAccess& access, const XnatQueries& queries) {
  Examination examination;
  examination.steps = connection_steps(access.base, access.client);
  examination.steps.push_back(
      {"authentication", kLimit, [&access, &queries](const RequestContext& context) {
         return log_in(access, queries, context);
       }});
  const auto build = std::make_shared<HttpResponse>();
  const auto answered = std::make_shared<std::chrono::system_clock::time_point>();
  examination.steps.push_back(
      {"server", kLimit, [&access, &queries, build, answered](const RequestContext& context) {
         *build = fetch_build(access, queries, context);
         *answered = std::chrono::system_clock::now();
         return describe(*build);
       }});
  examination.steps.push_back({"server's clock", kLimit, [build, answered](const RequestContext&) {
                                 return clock_finding(build->head, *answered);
                               }});
  examination.small_request = [&queries](const RequestContext& context) {
    queries.is_guest(context);
  };
  examination.listing_format = [] { return std::string("XNAT's lists and catalogs"); };
  return examination;
}

}  // namespace red
