#pragma once

#include <filesystem>
#include <string>

#include "common/json/json_value.h"
#include "fuse/mount_stats.h"

namespace red {

/// The statistics of a mount with the keys that the manual page documents (STATISTICS): they stay,
/// others may come.
JsonValue to_json(const MountStats& stats);

/// The same for people, from what to_json() made: a few lines, and a table of the busiest files.
std::string to_readable(const JsonValue& stats);

/// What a log needs of it, in one line.
std::string summary_of(const MountStats& stats);

/// Whether a report can be written there when the mount ends. Throws Error{LocalIo}: there is no
/// such directory, it cannot be written, or the name is taken by what is no file.
void check_report_path(const std::filesystem::path& path);

/// Writes the report, as JSON if the name ends in .json, so that nobody sees half of it. An
/// existing file is replaced. Throws Error{LocalIo}.
void write_report(const std::filesystem::path& path, const MountStats& stats);

}  // namespace red
