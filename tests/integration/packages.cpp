#include "tests/integration/packages.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/file_tree.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

namespace fs = std::filesystem;

const std::string kConfiguration = std::string(RED_BINARY_DIR) + "/CPackConfig.cmake";

void run_or_throw(const std::vector<std::string>& arguments) {
  const Outcome outcome = run({.arguments = arguments});
  if (outcome.exit_code != 0) throw std::runtime_error(outcome.output + outcome.errors);
}

fs::path make_package(const std::string& generator, const std::string& ending,
                      const fs::path& directory) {
  run_or_throw({"/usr/bin/cpack", "--config", kConfiguration, "-G", generator, "-B", directory});
  for (const std::string& name : names_in(directory)) {
    if (name.ends_with(ending)) return directory / name;
  }
  throw std::runtime_error("cpack made no " + generator);
}

}  // namespace

bool makes_packages() { return fs::exists(kConfiguration); }

fs::path unpack_bundle(const fs::path& directory) {
  const TemporaryDirectory packages;
  const fs::path archive = make_package("TGZ", ".tar.gz", packages.path());
  run_or_throw({"/usr/bin/tar", "-xzf", archive, "-C", directory});
  for (const std::string& name : names_in(directory)) {
    if (name.starts_with("red-connectors-")) return directory / name;
  }
  throw std::runtime_error("the package has another folder");
}

fs::path make_debian_package(const fs::path& directory) {
  return make_package("DEB", ".deb", directory);
}

}  // namespace red::testing
