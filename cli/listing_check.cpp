#include "cli/listing_check.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace red {
namespace {

constexpr std::size_t kThreads = 16;

/// Directories are not looked at: servers without listings cannot tell that they exist.
void collect_files(const Listing& listing, const RemotePath& directory,
                   std::vector<RemotePath>& files) {
  for (const ListingEntry& entry : listing) {
    if (files.size() == kMaxCheckedFiles) return;
    const RemotePath path = directory.child(entry.basename);
    if (entry.kind == ListingEntry::Kind::File) {
      files.push_back(path);
    } else {
      collect_files(entry.children, path, files);
    }
  }
}

enum class Presence { NotLookedAt, There, Missing };

/// What is known about each file; each slot belongs to the thread that took its number.
struct Findings {
  std::vector<RemotePath> files;
  std::vector<Presence> found;
  std::vector<std::optional<Error>> errors;
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
};

void look(RemoteStore& store, const RequestContext& context, Findings& findings) {
  for (std::size_t i = findings.next++; i < findings.files.size() && !findings.failed;
       i = findings.next++) {
    try {
      const auto entry = store.stat(findings.files[i], context);
      const bool is_file = entry && entry->kind == EntryKind::File;
      findings.found[i] = is_file ? Presence::There : Presence::Missing;
    } catch (...) {
      findings.errors[i] = current_exception_as_error().within(findings.files[i].text());
      findings.failed = true;
    }
  }
}

void throw_first_error(const Findings& findings) {
  for (const auto& error : findings.errors) {
    if (error) throw Error(*error);
  }
}

void throw_if_missing(const Findings& findings) {
  std::size_t count = 0;
  std::string lines;
  for (std::size_t i = 0; i < findings.files.size(); ++i) {
    if (findings.found[i] != Presence::Missing) continue;
    ++count;
    lines += "\n" + findings.files[i].text() + ": no such file on the server";
  }
  if (count == 0) return;
  throw Error(ErrorKind::NotFound, std::to_string(count) + (count == 1 ? " file" : " files") +
                                       " of the listing cannot be received" + lines);
}

}  // namespace

std::size_t check_listed_files(RemoteStore& store, const Listing& listing,
                               const RequestContext& context) {
  Findings findings;
  collect_files(listing, RemotePath(), findings.files);
  findings.found.resize(findings.files.size(), Presence::NotLookedAt);
  findings.errors.resize(findings.files.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(kThreads, findings.files.size()); ++i) {
      threads.emplace_back([&] { look(store, context, findings); });
    }
  }
  throw_first_error(findings);
  throw_if_missing(findings);
  return findings.files.size();
}

}  // namespace red
