#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "common/protocols/xnat/xnat_lists.h"
#include "common/remote/entry.h"
#include "common/remote/remote_path.h"

namespace red {

/// The files of one resource, as a tree. Immutable.
class XnatCatalog {
 public:
  /// Throws Error{Protocol} if a path is both a file and a directory. `where` is for messages.
  XnatCatalog(std::vector<XnatCatalogEntry> files, const std::string& where);

  /// What is in a directory, with names that are escaped; null if there is none. The root always
  /// is.
  const std::vector<Entry>* find_directory(const RemotePath& inside) const;
  /// Null if there is no such file.
  const XnatCatalogEntry* find_file(const RemotePath& inside) const;
  const std::map<RemotePath, XnatCatalogEntry>& files() const { return files_; }
  /// How many files it has.
  std::size_t size() const { return files_.size(); }

 private:
  void add_directories_of(const RemotePath& inside);

  std::map<RemotePath, XnatCatalogEntry> files_;
  std::map<RemotePath, std::vector<Entry>> directories_;
};

}  // namespace red
