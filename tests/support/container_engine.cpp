#include "tests/support/container_engine.h"

#include <stdlib.h>
#include <unistd.h>

#include <sstream>

#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;

/// Building an image compiles the program, installing packages may wait for a mirror.
constexpr std::chrono::minutes kLimit{40};

std::string find_on_path(const std::string& name) {
  const char* path = ::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/" + name;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

/// A context for an image of a static busybox under all its names.
void write_busybox(const fs::path& directory) {
  const char* const busybox = "/bin/busybox";
  fs::create_directories(directory / "bin");
  fs::copy_file(busybox, directory / "bin/busybox");
  std::istringstream names(run({.arguments = {busybox, "--list"}}).output);
  for (std::string name; names >> name;) {
    if (name != "busybox") fs::create_symlink("busybox", directory / "bin" / name);
  }
  write_file(directory / "Dockerfile", "FROM scratch\nCOPY bin/ /bin/\nCMD [\"/bin/sh\"]\n");
}

}  // namespace

ContainerEngine::ContainerEngine() {
  find();
  if (why_not_.empty()) try_it();
}

void ContainerEngine::find() {
  const char* given = ::getenv("CONTAINER_ENGINE");
  const std::vector<std::string> names = given != nullptr
                                             ? std::vector<std::string>{given}
                                             : std::vector<std::string>{"podman", "docker"};
  for (const std::string& name : names) {
    command_ = name.find('/') != std::string::npos ? name : find_on_path(name);
    if (!command_.empty()) return;
  }
  why_not_ = "there is neither podman nor docker, and CONTAINER_ENGINE names no other command";
}

void ContainerEngine::try_it() {
  const TemporaryDirectory directory;
  if (!fs::exists("/bin/busybox")) {
    why_not_ = "busybox is missing (package busybox-static)";
    return;
  }
  write_busybox(directory.path());
  const Outcome built = build(kBusybox, directory / "Dockerfile", directory.path());
  const Outcome ran = built.exit_code == 0 ? run(kBusybox, {}, {"true"}) : built;
  if (ran.exit_code == 0) return;
  // A command of its own kind may choose the network itself, and refuse a second choice.
  network_.clear();
  if (run(kBusybox, {}, {"true"}).exit_code == 0) return;
  why_not_ = command_ + " runs no container: " + ran.errors;
}

Outcome ContainerEngine::build(const std::string& image, const fs::path& dockerfile,
                               const fs::path& context,
                               const std::vector<std::string>& options) const {
  std::vector<std::string> arguments{"build", "-t", image, "-f", dockerfile};
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.push_back(context);
  return call(arguments);
}

Outcome ContainerEngine::run(const std::string& image, const std::vector<std::string>& options,
                             const std::vector<std::string>& command) const {
  std::vector<std::string> arguments{"run", "--rm", "--privileged"};
  arguments.insert(arguments.end(), network_.begin(), network_.end());
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.push_back(image);
  arguments.insert(arguments.end(), command.begin(), command.end());
  return call(arguments);
}

Outcome ContainerEngine::call(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words{command_};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return testing::run({.arguments = words}, kLimit);
}

}  // namespace red::testing
