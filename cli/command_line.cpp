#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>

#include "cli/connectors.h"
#include "common/json/nearest_name.h"

namespace red {
namespace {

namespace fs = std::filesystem;

constexpr std::array kSubcommands{
    Subcommand{"cli-version", Action::PrintCliVersion, Purpose::ReceiveFile, false, false, false,
               "print the version of the RED connector interface",
               "Prints 1, the version of the RED Connector CLI specification that is served.\n"
               "The version of this program: --version.\n"},
    Subcommand{"receive-file", Action::Transfer, Purpose::ReceiveFile, true, true, false,
               "download a file to PATH",
               "Downloads the file that ACCESS names to PATH. PATH appears when the whole file\n"
               "is there; an existing file is replaced.\n"
               "\n"
               "Example:\n"
               "  cat > access.json <<'END'\n"
               "  @FILE@\n"
               "  END\n"
               "  red-connector receive-file access.json scan.nii.gz\n"},
    Subcommand{"receive-file-validate", Action::Validate, Purpose::ReceiveFile, true, false, false,
               "check what receive-file needs",
               "Checks the access data, connects, authenticates and looks whether the file\n"
               "exists. Nothing is downloaded.\n"
               "\n"
               "Example:\n"
               "  red-connector receive-file-validate access.json && echo good\n"},
    Subcommand{"receive-dir", Action::Transfer, Purpose::ReceiveDir, true, true, true,
               "download a directory into PATH",
               "Downloads the directory that ACCESS names into the directory PATH. With a CWL\n"
               "listing: exactly what it names, sizes and checksums verified. Without one: what\n"
               "the server shows (WebDAV, or its index pages).\n"
               "red-connector-http-archive unpacks an archive there instead, all of it, and\n"
               "verifies what the listing names.\n"
               "\n"
               "Examples:\n"
               "  cat > access.json <<'END'\n"
               "  @DIRECTORY@\n"
               "  END\n"
               "  red-connector receive-dir access.json study\n"
               "  red-connector receive-dir access.json study --listing listing.json\n"},
    Subcommand{"receive-dir-validate", Action::Validate, Purpose::ReceiveDir, true, false, true,
               "check what receive-dir needs",
               "Checks the access data, connects, authenticates and looks whether the directory\n"
               "exists; with a listing also whether the first 64 files that it names exist.\n"
               "\n"
               "Example:\n"
               "  red-connector receive-dir-validate access.json --listing listing.json\n"},
    Subcommand{"mount-dir", Action::Mount, Purpose::MountDir, true, true, false,
               "mount a directory at PATH, read-only",
               "Mounts the directory that ACCESS names at the empty directory PATH (made if it\n"
               "is missing) and returns when it can be listed. Programs read it like a local\n"
               "one; only what they read is fetched. umount-dir ends it.\n"
               "\n"
               "Examples:\n"
               "  cat > access.json <<'END'\n"
               "  @DIRECTORY@\n"
               "  END\n"
               "  red-connector mount-dir access.json /mnt/study\n"
               "  ls /mnt/study\n"
               "  red-connector umount-dir /mnt/study\n"
               "\n"
               "  # stay in the terminal, log there, unmount on Ctrl-C\n"
               "  red-connector mount-dir --foreground access.json /mnt/study\n"},
    Subcommand{"mount-dir-validate", Action::Validate, Purpose::MountDir, true, false, false,
               "check what mount-dir needs",
               "Checks the access data and /dev/fuse, connects, authenticates and looks whether\n"
               "the directory exists. Nothing is mounted.\n"
               "\n"
               "Example:\n"
               "  red-connector mount-dir-validate access.json\n"},
    Subcommand{"umount-dir", Action::Unmount, Purpose::MountDir, false, true, false,
               "end the mount at PATH",
               "Ends the mount at PATH within 10 seconds, and removes the directory if mount-dir\n"
               "made it. Files that are still open keep working until they are closed; the\n"
               "processes that hold them are named on stderr.\n"
               "\n"
               "Example:\n"
               "  red-connector umount-dir /mnt/study\n"},
    Subcommand{"send-file", Action::Transfer, Purpose::SendFile, true, true, false,
               "upload the file PATH",
               "Uploads the local file PATH to where ACCESS says. An existing file is replaced.\n"
               "\n"
               "Example:\n"
               "  cat > access.json <<'END'\n"
               "  @FILE@\n"
               "  END\n"
               "  red-connector send-file access.json out.csv\n"},
    Subcommand{"send-file-validate", Action::Validate, Purpose::SendFile, true, false, false,
               "check what send-file needs",
               "Checks the access data, connects and authenticates. Nothing is sent.\n"
               "\n"
               "Example:\n"
               "  red-connector send-file-validate access.json\n"},
    Subcommand{"send-dir", Action::Transfer, Purpose::SendDir, true, true, true,
               "upload the directory PATH",
               "Uploads what is in the local directory PATH, which is made on the server if it\n"
               "is missing there. With a CWL listing: exactly what it names, after its sizes and\n"
               "checksums have been found right. Symbolic links are followed.\n"
               "\n"
               "Example:\n"
               "  cat > access.json <<'END'\n"
               "  @DIRECTORY@\n"
               "  END\n"
               "  red-connector send-dir access.json results\n"},
    Subcommand{"send-dir-validate", Action::Validate, Purpose::SendDir, true, false, true,
               "check what send-dir needs",
               "Checks the access data (and the listing), connects and authenticates. Nothing is\n"
               "sent.\n"
               "\n"
               "Example:\n"
               "  red-connector send-dir-validate access.json\n"},
    Subcommand{"mounts", Action::PrintMounts, Purpose::MountDir, false, false, false,
               "list what is mounted",
               "Lists your mounts: path, source, process, age and use of the cache.\n"},
    Subcommand{"stats", Action::PrintStats, Purpose::MountDir, false, true, false,
               "tell what the mount at PATH has done",
               "Tells what the mount at PATH has done so far: reads and how many of them were\n"
               "answered at once, how long the others waited, what was fetched from the server\n"
               "and what of it for nothing, errors, and the busiest files. The key \"report\" of\n"
               "the access data has the same written to a file when the mount ends.\n"
               "\n"
               "Examples:\n"
               "  red-connector stats /mnt/study\n"
               "  red-connector stats --json /mnt/study | jq .reads.hit_ratio\n"},
    Subcommand{"doctor", Action::Examine, Purpose::MountDir, true, false, false,
               "say what is missing here, or between here and a server",
               "Says in a table what mounting and transferring needs of this machine or\n"
               "container, and what of it is missing. With ACCESS also how its server is\n"
               "reached, step by step: name, connection, TLS or host key, authentication, the\n"
               "path, its listing, ranges, round-trip time and rate. Changes nothing and ends\n"
               "within a minute. The exit code is 0 if all that is needed is there, else 19.\n"
               "\n"
               "Examples:\n"
               "  red-connector doctor\n"
               "  red-connector doctor access.json\n"},
    Subcommand{"schema", Action::PrintSchema, Purpose::ReceiveFile, false, false, false,
               "print the JSON Schema of a subcommand's ACCESS",
               "Prints the JSON Schema (draft-07) of the access data that SUBCOMMAND takes:\n"
               "every key with its meaning, type and default, for editors and validators.\n"
               "With \"site\" for SUBCOMMAND: that of the site file, /etc/red-connector.json.\n"
               "\n"
               "Example:\n"
               "  red-connector schema mount-dir > mount-dir.schema.json\n"},
};

/// Everything that CLI11 fills. All options belong to the program, not to a subcommand: they may
/// stand before it and after it, as the specification's examples have them.
struct Raw {
  std::string access_file;
  std::string path;
  std::string described;
  std::string listing_file;
  std::string log_file;
  bool help = false;
  bool version = false;
  bool verbose = false;
  bool quiet = false;
  bool foreground = false;
  bool debug = false;
  bool json = false;
};

void declare_options(CLI::App& app, Raw& raw) {
  app.set_help_flag();
  app.add_flag("-h,--help", raw.help);
  app.add_flag("--version", raw.version);
  app.add_flag("-v,--verbose", raw.verbose);
  app.add_flag("-q,--quiet", raw.quiet);
  app.add_flag("--foreground", raw.foreground);
  app.add_flag("--debug", raw.debug);
  app.add_flag("--json", raw.json);
  app.add_option("--listing", raw.listing_file);
  app.add_option("--log-file", raw.log_file);
  app.fallthrough();
}

void declare_subcommands(CLI::App& app, Raw& raw) {
  app.require_subcommand(0, 1);
  for (const Subcommand& row : kSubcommands) {
    CLI::App* subcommand = app.add_subcommand(std::string(row.name));
    subcommand->set_help_flag();
    if (row.takes_access) subcommand->add_option("ACCESS", raw.access_file);
    if (row.takes_path) subcommand->add_option("PATH", raw.path);
    if (row.action == Action::PrintSchema) subcommand->add_option("SUBCOMMAND", raw.described);
  }
}

const Subcommand* find_subcommand(std::string_view name) {
  const auto* row = std::find_if(kSubcommands.begin(), kSubcommands.end(),
                                 [&](const Subcommand& each) { return each.name == name; });
  return row == kSubcommands.end() ? nullptr : row;
}

/// Subcommands that are run for one purpose.
bool has_access_data(const Subcommand& row) {
  return row.action == Action::Transfer || row.action == Action::Validate ||
         row.action == Action::Mount;
}

std::string usage_line(const Subcommand& row) {
  std::string line(row.name);
  if (row.takes_listing) line += " [--listing LISTING]";
  if (row.action == Action::Mount) line += " [--foreground] [--debug]";
  if (row.action == Action::PrintStats) line += " [--json]";
  if (row.takes_access) line += row.action == Action::Examine ? " [ACCESS]" : " ACCESS";
  if (row.takes_path) line += " PATH";
  if (row.action == Action::PrintSchema) line += " SUBCOMMAND";
  return line;
}

/// Access data as the examples have it.
struct ExampleAccess {
  std::string_view program;
  std::string_view file;
  std::string_view directory;
};
constexpr std::array kExampleAccess{
    ExampleAccess{"red-connector",
                  "{\"url\": \"https://example.com/scan.nii.gz\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}",
                  "{\"url\": \"https://example.com/study/\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}"},
    ExampleAccess{"red-connector-http-json",
                  "{\"url\": \"https://example.com/result.json\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}",
                  "{\"url\": \"https://example.com/result.json\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}"},
    ExampleAccess{"red-connector-http-archive",
                  "{\"url\": \"https://example.com/study.tar.gz\", \"archiveFormat\": \"gztar\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}",
                  "{\"url\": \"https://example.com/study.tar.gz\", \"archiveFormat\": \"gztar\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}"},
    ExampleAccess{"red-connector-ssh",
                  "{\"host\": \"example.com\", \"filePath\": \"~/scan.nii.gz\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}",
                  "{\"host\": \"example.com\", \"dirPath\": \"~/study\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}"},
    ExampleAccess{"red-connector-xnat-http",
                  "{\"baseUrl\": \"https://xnat.example.com\", \"project\": \"STUDY\",\n"
                  "   \"subject\": \"S01\", \"resource\": \"NOTES\", \"file\": \"scan.nii.gz\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}",
                  "{\"baseUrl\": \"https://xnat.example.com\", \"project\": \"STUDY\",\n"
                  "   \"subject\": \"S01\", \"resource\": \"NOTES\",\n"
                  "   \"auth\": {\"username\": \"ada\", \"password\": \"secret\"}}"},
};

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
    text.replace(at, what.size(), by);
  }
}

/// The help with examples for the connector that it was asked of.
std::string with_examples(std::string text, std::string_view program) {
  const auto* row =
      std::find_if(kExampleAccess.begin(), kExampleAccess.end(),
                   [&](const ExampleAccess& each) { return each.program == program; });
  if (row == kExampleAccess.end()) row = kExampleAccess.begin();
  replace_all(text, "@FILE@", row->file);
  replace_all(text, "@DIRECTORY@", row->directory);
  return text;
}

/// A connector that does not mount shows what it has instead.
std::string example_calls(std::string_view program) {
  if (has_function(program, Purpose::MountDir)) {
    return "  red-connector mount-dir access.json /mnt/study     # read it like a local one\n"
           "  red-connector umount-dir /mnt/study\n"
           "  red-connector receive-dir access.json ./study      # or copy it\n"
           "  red-connector receive-dir --help\n";
  }
  const std::string name(program);
  if (has_function(program, Purpose::ReceiveDir)) {
    return "  " + name + " receive-dir access.json ./study\n";
  }
  return "  " + name + " receive-file access.json result.json\n  " + name +
         " send-file access.json result.json\n";
}

constexpr std::string_view kCommonOptions =
    "  -v, --verbose      say more about what happens\n"
    "  -q, --quiet        errors only: no warnings, no progress bar\n"
    "  --log-file FILE    log to FILE\n"
    "  -h, --help         this text; after a subcommand: about the subcommand\n"
    "  --version          the version of this program\n";

std::string help_for_program(std::string_view program) {
  std::string text =
      "Moves data between a server and this machine, or mounts a directory of a server.\n"
      "\n"
      "Usage: " +
      std::string(program) +
      " SUBCOMMAND [OPTIONS] [ACCESS] [PATH]\n"
      "\n"
      "ACCESS is a JSON file that says where the data is and how to get at it:\n"
      "  @DIRECTORY@\n"
      "\n"
      "Subcommands:\n";
  constexpr std::size_t kColumn = 24;
  for (const Subcommand& row : kSubcommands) {
    if (has_access_data(row) && !has_function(program, row.purpose)) continue;
    std::string name(row.name);
    name.resize(kColumn, ' ');
    text += "  " + name + std::string(row.summary) + "\n";
  }
  text += "\nOptions:\n" + std::string(kCommonOptions) +
          "A path that begins with - stands after --.\n"
          "\n"
          "Examples:\n"
          "  cat > access.json <<'END'\n"
          "  @DIRECTORY@\n"
          "  END\n" +
          example_calls(program) +
          "\n"
          "All keys of the access data and all exit codes: man red-connector\n";
  return with_examples(std::move(text), program);
}

std::string help_for_subcommand(std::string_view program, const Subcommand& row) {
  if (has_access_data(row)) check_has_function(program, row.purpose);
  std::string text = "Usage: " + std::string(program) + " " + usage_line(row) + "\n\n" +
                     std::string(row.help) + "\nOptions:\n";
  if (row.takes_listing) {
    text += "  --listing LISTING  JSON file with a CWL directory listing\n";
  }
  if (row.action == Action::Mount) {
    text +=
        "  --foreground       stay in the terminal until the mount ends; Ctrl-C ends it\n"
        "  --debug            print every request of the kernel, in the foreground\n";
  }
  if (row.action == Action::PrintStats) {
    text += "  --json             one JSON object, with the keys that man red-connector has\n";
  }
  return with_examples(text + std::string(kCommonOptions), program);
}

/// Points to the help for what was tried.
[[noreturn]] void fail(std::string_view program, const Subcommand* row, const std::string& reason) {
  const std::string subcommand = row ? " " + std::string(row->name) : std::string();
  throw Error(ErrorKind::Usage, (row ? std::string(row->name) + ": " : std::string()) + reason +
                                    "; try: " + std::string(program) + subcommand + " --help");
}

/// The first argument that nothing takes. CLI11 counts the -- before paths as one.
std::optional<std::string> first_extra(const CLI::App& app) {
  for (const std::string& extra : app.remaining(true)) {
    if (extra != "--") return extra;
  }
  return std::nullopt;
}

std::string reason_of_unknown(const std::string& subcommand,
                              const std::vector<std::string_view>& known) {
  const std::string_view nearest = nearest_name(subcommand, known);
  return "unknown subcommand \"" + subcommand + "\"" +
         (nearest.empty() ? std::string() : "; did you mean " + std::string(nearest) + "?");
}

std::string reason_of_extra(const std::string& extra, const Subcommand* row) {
  if (extra.size() > 1 && extra.front() == '-') return "unknown option " + extra;
  if (row) return "unexpected argument \"" + extra + "\"";
  std::vector<std::string_view> names;
  for (const Subcommand& each : kSubcommands) names.push_back(each.name);
  return reason_of_unknown(extra, names);
}

/// What is wrong with the argument of `schema`; empty if nothing is.
std::string fault_of_described(const std::string& name) {
  if (name.empty()) return "SUBCOMMAND is missing";
  const Subcommand* row = find_subcommand(name);
  if (name == kSiteSchema || (row && has_access_data(*row))) return {};
  if (row) return name + " takes no access data";
  std::vector<std::string_view> names{kSiteSchema};
  for (const Subcommand& each : kSubcommands) {
    if (has_access_data(each)) names.push_back(each.name);
  }
  return reason_of_unknown(name, names);
}

/// What is wrong with the combination; empty if nothing is.
std::string fault_of(const Raw& raw, const Subcommand& row) {
  const bool mounts = row.action == Action::Mount;
  const bool needs_access = row.takes_access && row.action != Action::Examine;
  if (needs_access && raw.access_file.empty()) return "ACCESS is missing";
  if (row.takes_path && raw.path.empty()) return "PATH is missing";
  if (!raw.listing_file.empty() && !row.takes_listing) return "takes no --listing";
  if (raw.foreground && !mounts) return "takes no --foreground";
  if (raw.debug && !mounts) return "takes no --debug";
  if (raw.json && row.action != Action::PrintStats) return "takes no --json";
  if (raw.verbose && raw.quiet) return "--verbose and --quiet contradict each other";
  return row.action == Action::PrintSchema ? fault_of_described(raw.described) : std::string();
}

Invocation to_invocation(const Raw& raw, const Subcommand& row) {
  Invocation invocation;
  invocation.subcommand = &row;
  invocation.described = find_subcommand(raw.described);
  invocation.access_file = raw.access_file;
  invocation.local_path = raw.path;
  if (!raw.listing_file.empty()) invocation.listing_file = raw.listing_file;
  // A daemon leaves the working directory.
  if (!raw.log_file.empty()) invocation.log_file = fs::absolute(raw.log_file);
  invocation.verbose = raw.verbose;
  invocation.quiet = raw.quiet;
  invocation.foreground = raw.foreground;
  invocation.debug = raw.debug;
  invocation.json = raw.json;
  return invocation;
}

const Subcommand* parsed_subcommand(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? nullptr : find_subcommand(parsed.front()->get_name());
}

void parse(CLI::App& app, std::string_view program, const std::vector<std::string>& arguments) {
  app.allow_extras();
  // CLI11 takes them from the back.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  // Alone this word ends a subcommand for CLI11; here it can be a path only.
  std::replace(reversed.begin(), reversed.end(), std::string("++"), std::string("./++"));
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& failure) {
    fail(program, parsed_subcommand(app), failure.what());
  }
}

}  // namespace

std::span<const Subcommand> subcommands() { return kSubcommands; }

std::variant<Invocation, AnswerText> parse_command_line(std::string_view program,
                                                        const std::vector<std::string>& arguments) {
  Raw raw;
  CLI::App app;
  declare_options(app, raw);
  declare_subcommands(app, raw);
  parse(app, program, arguments);

  const Subcommand* row = parsed_subcommand(app);
  if (raw.version) return "red-connector " RED_CONNECTORS_VERSION "\n";
  if (raw.help) return row ? help_for_subcommand(program, *row) : help_for_program(program);
  if (const auto extra = first_extra(app)) fail(program, row, reason_of_extra(*extra, row));
  if (!row) fail(program, nullptr, "no subcommand");
  if (const std::string fault = fault_of(raw, *row); !fault.empty()) fail(program, row, fault);
  return to_invocation(raw, *row);
}

}  // namespace red
