#include "tests/integration/engine_fixture.h"

#include <algorithm>
#include <map>
#include <ostream>

#include "tests/integration/xnat_access.h"
#include "tests/servers/ssh_access.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kXnatResource = "projects/P/resources/R";
constexpr const char* kXnatResults = "projects/P/resources/OUT";

const FileTree& study() {
  static const FileTree tree = {{"brain.img", random_bytes(3'000'000, 1)},
                                {"Größe & Maß?.txt", "names stay as they are\n"},
                                {"day 1/notes.txt", "notes\n"}};
  return tree;
}

const FileTree& home() {
  static const FileTree tree = {{"subjects.csv", "subject,age\n01,34\n"},
                                {"scans/t1.nii", random_bytes(500'000, 2)}};
  return tree;
}

const std::string& scan() {
  static const std::string content = random_bytes(200'000, 3);
  return content;
}

/// What the command makes of the first input.
std::string result() { return study().at("brain.img") + study().at("day 1/notes.txt"); }
FileTree result_tree() {
  return {{"brain.img", study().at("brain.img")}, {"sub/notes", study().at("day 1/notes.txt")}};
}

std::string sha1_of(const std::string& content) {
  static std::map<std::string, std::string> known;
  if (const auto found = known.find(content); found != known.end()) return found->second;
  const TemporaryDirectory directory;
  write_file(directory / "file", content);
  const Outcome outcome = run({.arguments = {"/usr/bin/sha1sum", directory / "file"}});
  return known[content] = "sha1$" + outcome.output.substr(0, 40);
}

Json listed_file(const std::string& name, const std::string& content) {
  return {{"class", "File"},
          {"basename", name},
          {"size", content.size()},
          {"checksum", sha1_of(content)}};
}

/// The CWL listing of a tree.
Json listing_of(const FileTree& tree) {
  Json listing = Json::array();
  std::map<std::string, FileTree> directories;
  for (const auto& [path, content] : tree) {
    const auto slash = path.find('/');
    if (slash == std::string::npos) {
      listing.push_back(listed_file(path, content));
    } else {
      directories[path.substr(0, slash)][path.substr(slash + 1)] = content;
    }
  }
  for (const auto& [name, below] : directories) {
    listing.push_back({{"class", "Directory"}, {"basename", name}, {"listing", listing_of(below)}});
  }
  return listing;
}

void put_below(FileTree& all, const std::string& directory, const FileTree& tree) {
  for (const auto& [path, content] : tree) all[directory + path] = content;
}

/// Of every result on every server.
FileTree all_results() {
  FileTree all;
  for (const std::string server : {"web/", "ssh/"}) {
    all[server + "results/result.bin"] = result();
    put_below(all, server + "results/tree/", result_tree());
  }
  all["xnat/result.bin"] = result();
  return all;
}

const std::string kMakeResults =
    "cat inputs/study/brain.img 'inputs/study/day 1/notes.txt' > result.bin\n"
    "mkdir -p tree/sub\n"
    "cp inputs/study/brain.img tree/\n"
    "cp 'inputs/study/day 1/notes.txt' tree/sub/notes\n";
const std::string kReadTheRest =
    "cmp inputs/copy/brain.img inputs/study/brain.img\n"
    "cmp inputs/subjects.csv inputs/home/subjects.csv\n"
    "cat inputs/scan inputs/home/scans/t1.nii > /dev/null\n";

/// By the key, which takes less time than the password.
Json access_by_key(const OpenSshServer& server, const char* key, const std::string& name) {
  Json access = access_to(server, key, server.path_of(name));
  access["auth"] = {{"username", server.user()}, {"privateKey", server.private_key()}};
  return access;
}

Json select(const Json& all, const std::vector<int>& wanted) {
  Json selected = Json::array();
  for (const int index : wanted) selected.push_back(all.at(static_cast<std::size_t>(index)));
  return selected;
}

}  // namespace

ExperimentServers::ExperimentServers() {
  write_tree(web.root() / "study", study());
  fs::create_directories(web.root() / "results");
  web.open_root();
  write_tree(ssh.root() / "home", home());
  write_file(ssh.root() / "home/file", "");
  ssh.own_root();
  fs::create_directory(ssh.root() / "home/of root");
  xnat.add_file(kXnatResource, "scan", scan());
  xnat.add(kXnatResults);
}

Json ExperimentServers::experiment(const std::string& directory) const {
  const Json web_study = {{"url", web.url("/study/")}};
  const Json ssh_home = access_to(ssh, "dirPath", ssh.path_of("home"));
  const Json inputs = {
      {{"connector", "red-connector-http"},
       {"class", "Directory"},
       {"mount", true},
       {"path", "inputs/study"},
       {"access", web_study},
       {"listing", listing_of(study())}},
      {{"connector", "red-connector-ssh"},
       {"class", "Directory"},
       {"mount", true},
       {"path", "inputs/home"},
       {"access", ssh_home},
       {"listing", listing_of(home())}},
      {{"connector", "red-connector-http"},
       {"class", "Directory"},
       {"path", "inputs/copy"},
       {"access", web_study},
       {"listing", listing_of(study())}},
      {{"connector", "red-connector-ssh"},
       {"class", "File"},
       {"path", "inputs/subjects.csv"},
       {"access", access_by_key(ssh, "filePath", "home/subjects.csv")},
       {"checksum", sha1_of(home().at("subjects.csv"))},
       {"size", home().at("subjects.csv").size()}},
      {{"connector", "red-connector-xnat-http"},
       {"class", "File"},
       {"path", "inputs/scan"},
       {"access", access_to(xnat, {{"project", "P"}, {"resource", "R"}, {"file", "scan"}})},
       {"checksum", sha1_of(scan())},
       {"size", scan().size()}},
  };
  const Json outputs = {
      {{"connector", "red-connector-ssh"},
       {"class", "File"},
       {"path", "result.bin"},
       {"access", access_by_key(ssh, "filePath", "results/result.bin")}},
      {{"connector", "red-connector-http"},
       {"class", "File"},
       {"path", "result.bin"},
       {"access", {{"url", web.url("/results/result.bin")}, {"method", "PUT"}}}},
      {{"connector", "red-connector-xnat-http"},
       {"class", "File"},
       {"path", "result.bin"},
       {"access",
        access_to(xnat, {{"project", "P"}, {"resource", "OUT"}, {"file", "result.bin"}})}},
      {{"connector", "red-connector-ssh"},
       {"class", "Directory"},
       {"path", "tree"},
       {"access", access_by_key(ssh, "dirPath", "results/tree")}},
      {{"connector", "red-connector-http"},
       {"class", "Directory"},
       {"path", "tree"},
       {"access", {{"url", web.url("/results/tree/")}}},
       {"listing", listing_of(result_tree())}},
  };
  return {{"directory", directory},
          {"inputs", inputs},
          {"command", {"sh", "-ec", kMakeResults + kReadTheRest}},
          {"outputs", outputs},
          {"watched", {"/run", "/dev/shm"}}};
}

Json ExperimentServers::part_of_experiment(const std::string& directory,
                                           const std::vector<int>& inputs,
                                           const std::vector<int>& outputs) const {
  Json part = experiment(directory);
  part["inputs"] = select(part["inputs"], inputs);
  part["outputs"] = select(part["outputs"], outputs);
  part["command"] = {"sh", "-ec", kMakeResults};
  return part;
}

std::vector<std::string> ExperimentServers::local_files() {
  return {"inputs/",
          "inputs/copy/",
          "inputs/copy/Größe & Maß?.txt",
          "inputs/copy/brain.img",
          "inputs/copy/day 1/",
          "inputs/copy/day 1/notes.txt",
          "inputs/home/",
          "inputs/scan",
          "inputs/study/",
          "inputs/subjects.csv",
          "result.bin",
          "tree/",
          "tree/brain.img",
          "tree/sub/",
          "tree/sub/notes"};
}

FileTree ExperimentServers::results() const {
  FileTree all;
  put_below(all, "web/", read_tree(web.root()));
  put_below(all, "ssh/", read_tree(ssh.root()));
  std::erase_if(all, [](const auto& file) {
    return file.first.starts_with("web/study/") || file.first.starts_with("ssh/home/") ||
           file.first.ends_with('/');
  });
  put_below(all, "xnat/", xnat.files(kXnatResults));
  return all;
}

void ExperimentServers::expect_all_results() const {
  EXPECT_EQ(differences(results(), all_results()), "");
}

void ExperimentServers::expect_whole_results() const {
  const FileTree found = results();
  FileTree expected = all_results();
  std::erase_if(expected, [&found](const auto& file) { return !found.contains(file.first); });
  EXPECT_EQ(differences(found, expected), "");
}

EngineReport read_report(const Outcome& outcome) {
  const Json report = Json::parse(outcome.output, nullptr, false);
  std::string text = outcome.output + outcome.errors;
  if (outcome.timed_out) text += "(time limit)";
  if (report.is_object()) return {report, text, outcome.errors};
  return {{{"left", Json::array()}, {"files", Json::array()}}, text, outcome.errors};
}

void PrintTo(const EngineReport& report, std::ostream* out) { *out << report.text; }

}  // namespace red::testing
