#include "common/protocols/xnat/xnat_catalog.h"

#include <utility>

#include "common/error.h"
#include "common/protocols/xnat/xnat_names.h"

namespace red {

XnatCatalog::XnatCatalog(std::vector<XnatCatalogEntry> files, const std::string& where) {
  directories_[RemotePath{}];
  for (XnatCatalogEntry& file : files) {
    const RemotePath path = file.path;
    if (!files_.emplace(path, std::move(file)).second) continue;
    add_directories_of(path);
    const XnatCatalogEntry& kept = files_.at(path);
    Entry entry;
    entry.name = escape_component(path.name());
    entry.size = kept.size;
    entry.checksum = kept.checksum;
    directories_.at(path.parent()).push_back(std::move(entry));
  }
  for (const auto& [path, entries] : directories_) {
    if (!files_.contains(path)) continue;
    throw Error(ErrorKind::Protocol,
                where + ": the catalog has " + path.text() + " as a file and as a directory");
  }
}

void XnatCatalog::add_directories_of(const RemotePath& inside) {
  const RemotePath directory = inside.parent();
  if (directories_.contains(directory)) return;
  add_directories_of(directory);
  directories_[directory];
  Entry entry;
  entry.name = escape_component(directory.name());
  entry.kind = EntryKind::Directory;
  directories_.at(directory.parent()).push_back(std::move(entry));
}

const std::vector<Entry>* XnatCatalog::find_directory(const RemotePath& inside) const {
  const auto found = directories_.find(inside);
  return found == directories_.end() ? nullptr : &found->second;
}

const XnatCatalogEntry* XnatCatalog::find_file(const RemotePath& inside) const {
  const auto found = files_.find(inside);
  return found == files_.end() ? nullptr : &found->second;
}

}  // namespace red
