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

  /// A store as the program makes it, whose root is `path`; for MountDir one that may change
  /// things, where there is such a choice.
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

  // --- What is told of entries
  virtual bool has_permissions() const { return true; }
  /// Else to the minute.
  virtual bool lists_times_to_the_second() const { return true; }
  /// Else stat leaves the size of an empty file open.
  virtual bool tells_empty_sizes() const { return true; }

  // --- Directories and files in each other's place
  /// Else the page of a directory is a file like any other.
  virtual bool tells_directories_from_files() const { return true; }
  /// Else make_directory takes a file in its place, or in that of its parent, for a directory.
  virtual bool tells_files_in_the_way() const { return true; }

  // --- Sending
  virtual bool takes_uploads() const { return true; }
  /// upload() makes the directories above a file; else that is NotFound.
  virtual bool makes_parents_of_uploads() const { return false; }
  /// Permission bits and times travel with an upload.
  virtual bool keeps_attributes() const { return true; }
  /// A root whose parents are missing is made with them.
  virtual bool makes_parents_of_roots() const { return true; }

  // --- Changing a tree
  virtual bool has_editor() const { return true; }
  virtual bool makes_hard_links() const { return true; }
  virtual bool tells_space() const { return true; }
  /// rename() without `replace` refuses a name that is taken; else it replaces all the same.
  virtual bool can_spare_the_target() const { return true; }

  // --- Contexts
  /// Only reads are stalled by stall().
  virtual bool answers_when_stalled() const { return false; }
};

}  // namespace red::testing
