#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/remote/remote_store.h"

namespace red {

enum class Action {
  PrintCliVersion,
  Transfer,
  Validate,
  Mount,
  Unmount,
  PrintMounts,
  PrintStats,
  Examine,
  PrintSchema
};

/// One subcommand of the specification, or ours.
struct Subcommand {
  std::string_view name;
  Action action;
  Purpose purpose;    ///< of transfers, validations and mounts
  bool takes_access;  ///< and needs it, but for Action::Examine
  bool takes_path;
  bool takes_listing;
  std::string_view summary;  ///< one line
  std::string_view help;     ///< a paragraph and examples
};

/// What `schema` takes beside the names of subcommands: the site file.
inline constexpr std::string_view kSiteSchema = "site";

/// All subcommands in the order in which help shows them.
std::span<const Subcommand> subcommands();

/// What the command line asks for.
struct Invocation {
  const Subcommand* subcommand = nullptr;
  const Subcommand* described = nullptr;  ///< by `schema`; null: the site file
  std::filesystem::path access_file;      ///< empty: none
  std::filesystem::path local_path;
  std::optional<std::filesystem::path> listing_file;
  std::optional<std::filesystem::path> log_file;  ///< absolute
  bool verbose = false;
  bool quiet = false;
  bool foreground = false;
  bool debug = false;
  bool json = false;
};

/// Text to print on stdout instead: help or the version.
using AnswerText = std::string;

/// `program` is the name the program was called as, `arguments` what follows it. Throws
/// Error{Usage}: one line, and a second one that points to the help.
std::variant<Invocation, AnswerText> parse_command_line(std::string_view program,
                                                        const std::vector<std::string>& arguments);

}  // namespace red
