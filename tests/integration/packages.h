#pragma once

#include <filesystem>

namespace red::testing {

/// Not with sanitizers.
bool makes_packages();

/// Has cpack make the self-contained package and unpacks it in `directory`; the folder that came
/// out. Throws std::runtime_error.
std::filesystem::path unpack_bundle(const std::filesystem::path& directory);

/// Has cpack make the Debian package in `directory`.
std::filesystem::path make_debian_package(const std::filesystem::path& directory);

}  // namespace red::testing
