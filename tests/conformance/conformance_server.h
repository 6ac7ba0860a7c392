#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/remote/remote_store.h"

namespace red::testing {

/// A server whose stores are held against the contract. Tests lay things on it behind the stores'
/// backs; their paths begin at the top of what is served. Where a server or its protocol does less
/// or other than the contract's fullest form, its class declares so by overriding a predicate: the
/// suite then expects exactly that.
class ConformanceServer {
 public:
  virtual ~ConformanceServer() = default;

  // What lies on the server. A file that is put again stays the same one, with other content and
  // time. Parents are made as needed.
  virtual void put_file(const std::string& path, std::string_view content) = 0;
  virtual void put_directory(const std::string& path) = 0;
  virtual void set_modified(const std::string& path, FileTime modified) = 0;
  /// Only where has_permissions().
  virtual void set_mode(const std::string& path, std::uint32_t mode) = 0;
  virtual void remove(const std::string& path) = 0;
  /// Nothing if there is no such file.
  virtual std::optional<std::string> content_of(const std::string& path) const = 0;
  /// In a directory, sorted.
  virtual std::vector<std::string> names_in(const std::string& directory) const = 0;

  /// A store as the program makes it, whose root is `path`: the top, a file, or any directory
  /// where opens_any_directory(). For MountDir one that may change things, where there is such a
  /// choice.
  virtual std::unique_ptr<RemoteStore> open(const std::string& path, Purpose purpose) = 0;
  /// Grows when a store reaches out that has not done so before.
  virtual int contacts() const = 0;
  /// From now on no read gets an answer, nor any other call unless answers_when_stalled().
  virtual void stall() = 0;
  virtual void go_on() = 0;
  /// What must not be in any message or location.
  virtual std::vector<std::string> secrets() const { return {}; }

  // --- Names
  /// Whether a listing shows the name.
  virtual bool lists(std::string_view) const { return true; }
  /// Whether something of that name can be asked for and sent.
  virtual bool serves(std::string_view) const { return true; }

  // --- What stores are opened at, and how they look at it
  /// Else no access data names a directory below the top.
  virtual bool opens_any_directory() const { return true; }
  /// Else a store looks again when its top is listed, and knows until then what it has seen.
  virtual bool looks_at_every_listing() const { return true; }

  // --- What is told of entries
  virtual bool has_permissions() const { return true; }
  /// Else only stat tells them.
  virtual bool lists_times() const { return true; }
  /// Else to the minute.
  virtual bool lists_times_to_the_second() const { return true; }
  /// Else stat leaves the size of an empty file open.
  virtual bool tells_empty_sizes() const { return true; }

  // --- Directories
  /// Else they are but parts of their files' names: none is empty, make_directory makes none, and
  /// whoever takes one for a file finds none.
  virtual bool keeps_directories() const { return true; }
  /// Else the page of a directory is a file like any other.
  virtual bool tells_directories_from_files() const { return true; }
  /// Else make_directory takes a file in its place, or in that of its parent, for a directory.
  virtual bool tells_files_in_the_way() const { return true; }

  // --- Reading
  /// Else a range that begins behind the end gets no answer, and one that reaches over it fails.
  virtual bool ends_ranges_with_the_file() const { return true; }

  // --- Sending
  virtual bool takes_uploads() const { return true; }
  /// upload() makes the directories above a file; else that is NotFound.
  virtual bool makes_parents_of_uploads() const { return false; }
  /// Permission bits and times travel with an upload.
  virtual bool keeps_attributes() const { return true; }
  /// What was there is gone only when all of an upload has come; else as soon as it begins.
  virtual bool keeps_the_old_until_the_end() const { return true; }
  /// A root whose parents are missing is made with them.
  virtual bool makes_parents_of_roots() const { return true; }

  // --- Changing a tree
  virtual bool has_editor() const { return true; }
  virtual bool makes_hard_links() const { return true; }
  virtual bool tells_space() const { return true; }
  /// rename() without `replace` refuses a name that is taken; else it replaces all the same.
  virtual bool can_spare_the_target() const { return true; }

  // --- Contexts
  /// What was read once is kept: the version that a file was opened with is still read when the
  /// server has another.
  virtual bool keeps_what_was_read() const { return false; }
  /// Only reads are stalled by stall().
  virtual bool answers_when_stalled() const { return false; }
};

}  // namespace red::testing
