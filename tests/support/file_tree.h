#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace red::testing {

/// `size` bytes without pattern, so that a shifted or repeated block is noticed; the same for the
/// same seed.
std::string random_bytes(std::size_t size, std::uint64_t seed = 1);

void write_file(const std::filesystem::path& path, std::string_view content);
std::string read_file(const std::filesystem::path& path);

/// Relative path -> content; a path with a trailing '/' is an empty directory.
using FileTree = std::map<std::string, std::string>;

void write_tree(const std::filesystem::path& root, const FileTree& tree);
/// All below `root`; only directories that hold nothing have an entry of their own.
FileTree read_tree(const std::filesystem::path& root);

/// What differs, a line for each path; empty if nothing does.
std::string differences(const FileTree& actual, const FileTree& expected);

/// The names directly in a directory, sorted.
std::vector<std::string> names_in(const std::filesystem::path& directory);

/// File and directory names that servers and clients tend to spoil: blanks, reserved characters of
/// URLs, HTML and shells, escapes that must stay, non-ASCII, a leading dash, 255 bytes.
std::vector<std::string> nasty_names();
/// Names with a leading dot, which some servers hide from their index.
std::vector<std::string> dot_names();
/// All of them, and those that only the slash and NUL are missing from: line breaks, control
/// characters, bytes that are no UTF-8.
std::vector<std::string> hard_names();
/// A small tree with a file and a directory of each name.
FileTree nasty_tree(const std::vector<std::string>& names);

}  // namespace red::testing
