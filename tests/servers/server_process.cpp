#include "tests/servers/server_process.h"

#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/file_tree.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

constexpr std::chrono::seconds kStartLimit{15};

}  // namespace

ServerProcess::ServerProcess(std::string scheme)
    : scheme_(std::move(scheme)), root_(directory_ / "root") {
  std::filesystem::create_directory(root_);
  open_root();
}

ServerProcess::~ServerProcess() = default;

std::string ServerProcess::url(std::string_view path) const {
  return scheme_ + "://127.0.0.1:" + std::to_string(port()) + std::string(path);
}

std::string ServerProcess::log() const {
  return std::filesystem::exists(work("log")) ? read_file(work("log")) : "";
}

void ServerProcess::open_root() const { run({.arguments = {"/bin/chmod", "-R", "a+rwX", root_}}); }

void ServerProcess::stop() {
  if (!process_) return;
  process_.reset();
  // Its children end a moment later, and may be the ones that listen.
  if (!eventually([this] { return !connect_to(port()); }, kStartLimit)) {
    throw std::runtime_error("the server does not stop listening: " + log());
  }
}

void ServerProcess::start() {
  process_ = std::make_unique<Process>(command(), work("log"));
  const bool ready = eventually(
      [this] {
        if (process_->wait(std::chrono::milliseconds(0))) throw std::runtime_error(log());
        return static_cast<bool>(connect_to(port()));
      },
      kStartLimit);
  if (!ready) throw std::runtime_error("the server does not listen: " + log());
}

std::optional<uid_t> server_user() {
  if (::geteuid() != 0) return {};
  const passwd* user = ::getpwnam("www-data");
  if (user == nullptr) user = ::getpwnam("nobody");
  if (user == nullptr) throw std::runtime_error("neither www-data nor nobody exists");
  return user->pw_uid;
}

}  // namespace red::testing
