#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/conformance/relayed_server.h"
#include "tests/conformance/remote_store_conformance.h"
#include "tests/servers/xnat_server.h"

namespace red::testing {
namespace {

constexpr const char* kResource = "projects/P/subjects/S/experiments/E/resources/R";

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

/// A resource of a session.
class XnatResource final : public RelayedServer {
 public:
  XnatResource() : XnatResource(std::make_unique<XnatServer>()) {}

  void put_file(const std::string& path, std::string_view content) override {
    if (lists(path)) server_->add_file(kResource, path, content);
  }
  void put_directory(const std::string&) override {}
  void set_modified(const std::string& path, FileTime modified) override {
    server_->set_modified(kResource, path, std::chrono::floor<std::chrono::seconds>(modified));
  }
  void set_mode(const std::string&, std::uint32_t) override {}
  void remove(const std::string& path) override { server_->remove_files(kResource, path); }
  std::optional<std::string> content_of(const std::string& path) const override {
    const FileTree files = server_->files(kResource, path);
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<std::string> names_in(const std::string& directory) const override {
    std::vector<std::string> names;
    for (const auto& [path, content] : server_->files(kResource, directory + "/")) {
      const std::string below = path.substr(directory.size() + 1);
      names.push_back(below.substr(0, below.find('/')));
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  std::vector<std::string> secrets() const override { return {server_->password()}; }

  // Lists are JSON. What looks like the escape of a slash is shown in another one.
  bool lists(std::string_view name) const override {
    return is_utf8(name) && name.find("%2F") == std::string_view::npos;
  }
  // Tomcat and XNAT's firewall refuse the others in whatever encoding.
  bool serves(std::string_view name) const override {
    const auto is_refused = [](char c) {
      return (c >= 0 && c < ' ') || std::string_view("%;\\\x7F").find(c) != std::string_view::npos;
    };
    return lists(name) && std::none_of(name.begin(), name.end(), is_refused);
  }
  bool opens_any_directory() const override { return false; }
  bool looks_at_every_listing() const override { return false; }
  bool has_permissions() const override { return false; }
  bool lists_times() const override { return false; }
  bool keeps_directories() const override { return false; }
  bool tells_files_in_the_way() const override { return false; }
  bool ends_ranges_with_the_file() const override { return false; }
  bool makes_parents_of_uploads() const override { return true; }
  bool keeps_attributes() const override { return false; }
  bool keeps_the_old_until_the_end() const override { return false; }
  bool has_editor() const override { return false; }

 protected:
  std::string access_to(const std::string& path, Purpose purpose) const override {
    nlohmann::json access = {
        {"baseUrl", relay().url()},
        {"auth", {{"username", server_->username()}, {"password", server_->password()}}},
        {"project", "P"},
        {"subject", "S"},
        {"session", "E"},
        {"resource", "R"},
        {"overwriteExistingFile", true}};
    if (purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile) access["file"] = path;
    return access.dump();
  }

 private:
  explicit XnatResource(std::unique_ptr<XnatServer> server)
      : RelayedServer(server->port()), server_(std::move(server)) {
    server_->add(kResource);
  }

  const std::unique_ptr<XnatServer> server_;
};

INSTANTIATE_TEST_SUITE_P(Xnat, RemoteStoreConformance, ::testing::Values(start<XnatResource>));
INSTANTIATE_TEST_SUITE_P(Xnat, UploaderConformance, ::testing::Values(start<XnatResource>));

}  // namespace
}  // namespace red::testing
