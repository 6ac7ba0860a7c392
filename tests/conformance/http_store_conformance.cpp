#include <nlohmann/json.hpp>

#include "tests/conformance/remote_store_conformance.h"
#include "tests/conformance/served_directory.h"
#include "tests/servers/apache_server.h"
#include "tests/servers/nginx_server.h"

namespace red::testing {
namespace {

constexpr const char* kUser = "anna";
constexpr const char* kPassword = "pass-word-of-anna";
constexpr const char* kQuery = "key=secret-of-the-query";

/// A web server's directory behind a password and a key in the query.
template <typename Server, typename Options>
class WebDirectory : public ServedDirectory {
 public:
  std::vector<std::string> secrets() const override { return {kPassword, kQuery}; }

  bool has_permissions() const override { return false; }
  bool tells_files_in_the_way() const override { return false; }
  bool keeps_attributes() const override { return false; }
  bool makes_parents_of_roots() const override { return false; }
  bool has_editor() const override { return false; }

 protected:
  explicit WebDirectory(Options options) : WebDirectory(std::make_unique<Server>(options)) {}

  std::string access_to(const std::string& path, Purpose purpose) const override {
    nlohmann::json access = {{"url", relay().url("/" + path) + "?" + kQuery},
                             {"auth", {{"username", kUser}, {"password", kPassword}}}};
    if (purpose == Purpose::SendFile) access["method"] = "PUT";
    return access.dump();
  }

 private:
  explicit WebDirectory(std::unique_ptr<Server> server)
      : ServedDirectory(*server, server_user()), server_(std::move(server)) {}

  const std::unique_ptr<Server> server_;
};

/// nginx with its index pages: to be read only.
class NginxIndex final : public WebDirectory<NginxServer, NginxOptions> {
 public:
  // Its redirects name the port that it listens on, unless they are relative.
  NginxIndex()
      : WebDirectory(
            {.username = kUser, .password = kPassword, .more = "      absolute_redirect off;\n"}) {}

  bool lists(std::string_view name) const override { return !name.starts_with('.'); }
  bool lists_times_to_the_second() const override { return false; }
  bool tells_directories_from_files() const override { return false; }
  bool takes_uploads() const override { return false; }
};

/// Apache httpd with mod_dav.
class ApacheDav final : public WebDirectory<ApacheServer, ApacheOptions> {
 public:
  ApacheDav()
      : WebDirectory({.index = ApacheOptions::Index::None,
                      .dav = true,
                      .authentication = ApacheOptions::Authentication::Basic,
                      .username = kUser,
                      .password = kPassword}) {}

  // It leaves out a Content-Length of 0 in answers to HEAD.
  bool tells_empty_sizes() const override { return false; }
};

INSTANTIATE_TEST_SUITE_P(NginxIndex, RemoteStoreConformance, ::testing::Values(start<NginxIndex>));
INSTANTIATE_TEST_SUITE_P(ApacheDav, RemoteStoreConformance, ::testing::Values(start<ApacheDav>));
INSTANTIATE_TEST_SUITE_P(ApacheDav, UploaderConformance, ::testing::Values(start<ApacheDav>));

}  // namespace
}  // namespace red::testing
