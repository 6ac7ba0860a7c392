#include "tests/servers/xnat_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using Json = nlohmann::json;

// What generated contents are cut from, repeated without end. Not a power of two, so that a block
// in the place of another is noticed.
const std::string& pattern() {
  static const std::string block = random_bytes((1 << 20) + 7, 4711);
  return block;
}

std::string cut_from_pattern(std::size_t start, std::size_t size) {
  std::string content;
  content.reserve(size);
  while (content.size() < size) {
    content.append(pattern(), start, std::min(size - content.size(), pattern().size() - start));
    start = 0;
  }
  return content;
}

std::string name_of(XnatAccess access) {
  switch (access) {
    case XnatAccess::Private:
      return "private";
    case XnatAccess::Protected:
      return "protected";
    case XnatAccess::Public:
      return "public";
  }
  throw std::logic_error("XnatAccess");
}

std::string name_of(XnatRole role) {
  switch (role) {
    case XnatRole::Owner:
      return "owner";
    case XnatRole::Member:
      return "member";
    case XnatRole::Collaborator:
      return "collaborator";
  }
  throw std::logic_error("XnatRole");
}

std::string name_of(XnatRanges ranges) {
  switch (ranges) {
    case XnatRanges::AsXnat:
      return "as_xnat";
    case XnatRanges::Repaired:
      return "repaired";
    case XnatRanges::Ignored:
      return "ignored";
  }
  throw std::logic_error("XnatRanges");
}

std::string name_of(XnatFault::Kind kind) {
  switch (kind) {
    case XnatFault::Kind::Delay:
      return "delay";
    case XnatFault::Kind::Hold:
      return "hold";
    case XnatFault::Kind::Status:
      return "status";
    case XnatFault::Kind::LoseAnswer:
      return "lose_answer";
    case XnatFault::Kind::Truncate:
      return "truncate";
    case XnatFault::Kind::Reset:
      return "reset";
    case XnatFault::Kind::DropUpload:
      return "drop_upload";
    case XnatFault::Kind::LoginPage:
      return "login_page";
    case XnatFault::Kind::ExpireSession:
      return "expire_session";
    case XnatFault::Kind::HoldUpload:
      return "hold_upload";
    case XnatFault::Kind::ConcurrentModification:
      return "concurrent_modification";
  }
  throw std::logic_error("XnatFault::Kind");
}

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

void add_if_set(Json& object, const char* name, const std::string& value) {
  if (!value.empty()) object[name] = value;
}

std::string exchange(std::uint16_t port, const std::string& request) {
  const FileDescriptor socket = connect_to(port);
  if (!socket) throw std::runtime_error("the XNAT stand-in does not take orders");
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t count =
        ::send(socket.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (count < 0) throw std::system_error(errno, std::generic_category(), "send");
    sent += static_cast<std::size_t>(count);
  }
  std::string answer;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t count = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (count < 0) throw std::system_error(errno, std::generic_category(), "recv");
    if (count == 0) return answer;
    answer.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

XnatServer::XnatServer(XnatOptions options)
    : ServerProcess(options.tls ? "https" : "http"), options_(std::move(options)) {
  if (options_.tls) certificate_ = make_certificate(work(""));
  write_file(work("pattern"), pattern());
  write_settings();
  start();
}

std::string XnatServer::base_url() const { return url(options_.context); }

Command XnatServer::command() const {
  // Nothing but Python's own library, and nothing left in the source directory.
  return {.arguments = {"/usr/bin/python3", "-I", "-S", "-B", RED_TEST_SERVERS "/xnat",
                        work("settings.json")}};
}

void XnatServer::write_settings() const {
  Json settings = {{"port", port()},
                   {"control_port", control_port_.number()},
                   {"directory", root()},
                   {"pattern", work("pattern")},
                   {"context", options_.context},
                   {"open", options_.open},
                   {"password", password()},
                   {"requests_per_connection", options_.requests_per_connection}};
  if (certificate_) {
    settings["certificate"] = certificate_->certificate;
    settings["key"] = certificate_->key;
  }
  write_file(work("settings.json"), settings.dump());
}

std::string XnatServer::control(std::string_view verb, const std::string& arguments) const {
  const std::string answer =
      exchange(control_port_.number(),
               "POST /" + std::string(verb) + " HTTP/1.1\r\nConnection: close\r\nContent-Length: " +
                   std::to_string(arguments.size()) + "\r\n\r\n" + arguments);
  const std::size_t head_end = answer.find("\r\n\r\n");
  if (head_end == std::string::npos || !answer.starts_with("HTTP/1.1 200 ")) {
    throw std::runtime_error("the XNAT stand-in: " + answer);
  }
  return answer.substr(head_end + 4);
}

std::filesystem::path XnatServer::pass(std::string_view content) const {
  const std::filesystem::path path = work("passed-" + std::to_string(++passed_));
  write_file(path, content);
  return path;
}

void XnatServer::add_user(std::string_view name, std::string_view password) {
  control("add_user", Json{{"name", name}, {"password", password}}.dump());
}

void XnatServer::grant(std::string_view project, std::string_view user, XnatRole role) {
  control("grant", Json{{"project", project}, {"user", user}, {"role", name_of(role)}}.dump());
}

// --- What is there -------------------------------------------------------------------------------

std::string XnatServer::add(std::string_view path, const XnatObject& object) {
  Json arguments = {{"path", path}};
  add_if_set(arguments, "id", object.id);
  add_if_set(arguments, "xsi_type", object.xsi_type);
  add_if_set(arguments, "type", object.type);
  add_if_set(arguments, "description", object.description);
  add_if_set(arguments, "format", object.format);
  add_if_set(arguments, "content", object.content);
  if (object.label) arguments["label"] = *object.label;
  if (object.access) arguments["access"] = name_of(*object.access);
  return Json::parse(control("add", arguments.dump())).at("id");
}

void XnatServer::add_file(std::string_view resource, std::string_view name,
                          std::string_view content) {
  const Json arguments = {{"resource", resource}, {"name", name}, {"source", pass(content)}};
  control("add_file", arguments.dump());
}

void XnatServer::add_files(std::string_view resource, std::string_view name, int count,
                           std::size_t size, int seed) {
  const Json arguments = {
      {"resource", resource}, {"name", name}, {"count", count}, {"size", size}, {"seed", seed}};
  control("add_files", arguments.dump());
}

std::string XnatServer::generated_name(std::string_view name, int number) {
  std::array<char, 16> digits{};
  std::snprintf(digits.data(), digits.size(), "%05d", number);
  std::string made(name);
  const std::size_t at = made.find("{}");
  return at == std::string::npos ? made : made.replace(at, 2, digits.data());
}

std::string XnatServer::generated_content(int seed, std::size_t size) {
  // As contents.py has it.
  return cut_from_pattern(static_cast<std::size_t>(seed) * 10007 % pattern().size(), size);
}

void XnatServer::set_modified(std::string_view resource, std::string_view name,
                              std::chrono::sys_seconds modified) {
  const Json arguments = {
      {"resource", resource}, {"name", name}, {"modified", modified.time_since_epoch().count()}};
  control("set_modified", arguments.dump());
}

void XnatServer::remove_files(std::string_view resource, std::string_view name) {
  control("remove_files", Json{{"resource", resource}, {"name", name}}.dump());
}

void XnatServer::remove(std::string_view path) { control("remove", Json{{"path", path}}.dump()); }

void XnatServer::share(std::string_view path, std::string_view project, std::string_view label) {
  control("share", Json{{"path", path}, {"project", project}, {"label", label}}.dump());
}

FileTree XnatServer::files(std::string_view resource, std::string_view prefix) const {
  FileTree tree;
  const Json arguments = {{"resource", resource}, {"prefix", prefix}};
  const Json answer = Json::parse(control("files", arguments.dump()));
  for (const Json& file : answer.at("files")) {
    tree[file.at("name")] = file.contains("path")
                                ? read_file(file.at("path").get<std::string>())
                                : cut_from_pattern(file.at("start"), file.at("size"));
  }
  return tree;
}

std::vector<std::string> XnatServer::children(std::string_view path) const {
  return Json::parse(control("children", Json{{"path", path}}.dump())).at("children");
}

// --- What is wrong with it -----------------------------------------------------------------------

void XnatServer::set_entry(std::string_view resource, std::string_view name,
                           std::optional<std::string> size, std::optional<std::string> digest) {
  Json arguments = {{"resource", resource}, {"name", name}};
  if (size) arguments["size"] = *size;
  if (digest) arguments["digest"] = *digest;
  control("set_entry", arguments.dump());
}

void XnatServer::lose_file(std::string_view resource, std::string_view name) {
  control("lose_file", Json{{"resource", resource}, {"name", name}}.dump());
}

void XnatServer::change_file(std::string_view resource, std::string_view name,
                             std::string_view content) {
  const Json arguments = {{"resource", resource}, {"name", name}, {"source", pass(content)}};
  control("change_file", arguments.dump());
}

void XnatServer::add_fault(const XnatFault& fault) {
  const Json arguments = {{"kind", name_of(fault.kind)}, {"method", fault.method},
                          {"path", fault.path},          {"skip", fault.skip},
                          {"times", fault.times},        {"delay", seconds(fault.delay)},
                          {"size", fault.bytes},         {"status", fault.status}};
  control("add_fault", arguments.dump());
}

void XnatServer::clear_faults() { control("clear_faults"); }

void XnatServer::release() { control("release"); }

bool XnatServer::wait_for_held(int count, std::chrono::milliseconds limit) const {
  return eventually([&] { return Json::parse(control("held")).at("held") >= count; }, limit);
}

// --- How the site is set -------------------------------------------------------------------------

void XnatServer::set_ranges(XnatRanges ranges) {
  control("set", Json{{"ranges", name_of(ranges)}}.dump());
}

void XnatServer::set_stall(std::chrono::milliseconds stall) {
  control("set", Json{{"stall", seconds(stall)}}.dump());
}

void XnatServer::set_session_timeout(std::chrono::milliseconds timeout) {
  control("set", Json{{"session_timeout", seconds(timeout)}}.dump());
}

void XnatServer::set_max_sessions(int count) {
  control("set", Json{{"max_sessions", count}}.dump());
}

void XnatServer::set_login_page(bool login_page) {
  control("set", Json{{"login_page", login_page}}.dump());
}

void XnatServer::set_guest_cookies(bool guest_cookies) {
  control("set", Json{{"guest_cookies", guest_cookies}}.dump());
}

void XnatServer::set_checksums(bool checksums) {
  control("set", Json{{"checksums", checksums}}.dump());
}

void XnatServer::set_own_category(std::string_view category) {
  control("set", Json{{"own_category", category}}.dump());
}

void XnatServer::set_lists_all(bool lists_all) {
  control("set", Json{{"lists_all", lists_all}}.dump());
}

void XnatServer::set_catalog_time(std::chrono::milliseconds time) {
  control("set", Json{{"catalog_time", seconds(time)}}.dump());
}

void XnatServer::set_lost_updates_refused(bool refused) {
  control("set", Json{{"lost_updates_refused", refused}}.dump());
}

void XnatServer::expire_sessions() { control("expire_sessions"); }

void XnatServer::drop_connections() { control("drop_connections"); }

// --- What was asked ------------------------------------------------------------------------------

XnatCounters XnatServer::counters() const {
  const Json answer = Json::parse(control("counters"));
  XnatCounters counters;
  counters.requests = answer.at("requests");
  counters.logins = answer.at("logins");
  counters.failed_logins = answer.at("failed_logins");
  counters.logouts = answer.at("logouts");
  counters.live_sessions = answer.at("live_sessions");
  counters.open_connections = answer.at("open_connections");
  counters.most_connections = answer.at("most_connections");
  counters.bytes_sent = answer.at("bytes_sent");
  counters.bytes_received = answer.at("bytes_received");
  return counters;
}

std::vector<XnatRequest> XnatServer::requests() const {
  const Json answer = Json::parse(control("requests"));
  std::vector<XnatRequest> requests;
  for (const Json& entry : answer.at("requests")) {
    requests.push_back(
        {entry[0], entry[1], entry[2], entry[3], entry[4], entry[5], entry[6], entry[7]});
  }
  return requests;
}

void XnatServer::forget_requests() { control("forget_requests"); }

}  // namespace red::testing
