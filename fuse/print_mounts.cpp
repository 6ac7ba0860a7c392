#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "fuse/mount_daemon.h"
#include "fuse/mount_registry.h"
#include "fuse/mount_table.h"
#include "fuse/printable.h"
#include "fuse/status_socket.h"

namespace red {
namespace {

using namespace std::chrono_literals;

constexpr auto kAnswerLimit = 500ms;

using Row = std::array<std::string, 5>;

/// The two largest units: "2d 3h", "5m 07s".
std::string format_age(std::chrono::seconds age) {
  const auto in = [&age](std::chrono::seconds unit) { return age / unit; };
  const auto two = [](std::int64_t big, const char* big_unit, std::int64_t small,
                      const char* small_unit) {
    return std::to_string(big) + big_unit + " " + std::to_string(small) + small_unit;
  };
  if (age < 1min) return std::to_string(std::max<std::int64_t>(age.count(), 0)) + "s";
  if (age < 1h) return two(in(1min), "m", age.count() % 60, "s");
  if (age < 24h) return two(in(1h), "h", in(1min) % 60, "m");
  return two(in(24h), "d", in(1h) % 24, "h");
}

Row describe(const MountEntry& mount, const std::optional<MountRegistry>& registry) {
  const auto found = registry ? registry->find(mount.mount_point) : std::nullopt;
  Row row{printable(mount.mount_point.string()), printable(mount.source), "-", "-", "-"};
  if (!found || found->record.device != mount.device) return row;
  const MountRecord& record = found->record;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  row[3] = format_age(now - record.since);
  if (!found->daemon_alive) {
    row[2] = "(dead)";
    return row;
  }
  row[2] = std::to_string(record.pid);
  const auto use =
      ask_status(registry->socket_path(record), status_question::kCacheUse, kAnswerLimit);
  if (use && !use->empty()) row[4] = printable(*use);
  return row;
}

void print(const std::vector<Row>& rows) {
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      std::cout << std::left << std::setw(static_cast<int>(widths[i] + 2)) << row[i];
    }
    std::cout << row.back() << '\n';
  }
  if (!std::cout.flush()) throw Error::local_io(errno, "cannot write to the standard output");
}

}  // namespace

void print_mounts() {
  std::vector<Row> rows{{"PATH", "SOURCE", "PID", "AGE", "CACHE"}};
  const auto registry = MountRegistry::find_of(::geteuid());
  for (const MountEntry& mount : read_mount_table()) {
    if (mount.is_ours() && mount.owner == ::geteuid()) rows.push_back(describe(mount, registry));
  }
  print(rows);
}

}  // namespace red
