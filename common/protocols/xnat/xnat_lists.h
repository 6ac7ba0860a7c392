#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/digest.h"
#include "common/remote/remote_path.h"

namespace red {

/// A project, subject, experiment, scan, reconstruction or assessor as a list of them shows it.
/// What the list does not tell is empty.
struct XnatObject {
  std::string id;
  std::string label;
  std::string type;  ///< of a scan or reconstruction, such as "T1"
  std::string xsi_type;
};

/// A resource as a list of resources shows it.
struct XnatResource {
  std::string id;  ///< a number
  std::string label;
  std::string category;  ///< "resources", "scans", "reconstructions", "assessors"
  std::string owner;     ///< ID of the scan, reconstruction or assessor; else whatever
};

/// A file as the catalog of its resource has it.
struct XnatCatalogEntry {
  RemotePath path;                    ///< inside the resource, as it is stored
  std::optional<std::uint64_t> size;  ///< bytes; may be out of date
  std::optional<Checksum> checksum;   ///< MD5
};

/// The path inside its resource that the URI of a file, or its name in an archive, ends with.
std::optional<RemotePath> path_in_resource(std::string_view uri);

// Each reads the JSON text of a list (restlet/representations/JSONTableRepresentation.java), of
// which every value is a string. `where` is for messages. Throws Error{Protocol} for what is none.

std::vector<XnatObject> parse_objects(std::string_view json, const std::string& where);
/// Of each project its ID, under each of its names.
std::vector<XnatObject> parse_projects(std::string_view json, const std::string& where);
std::vector<XnatResource> parse_resources(std::string_view json, const std::string& where);
/// Files with names that no path can have are left out, with a warning.
std::vector<XnatCatalogEntry> parse_files(std::string_view json, const std::string& where);

}  // namespace red
