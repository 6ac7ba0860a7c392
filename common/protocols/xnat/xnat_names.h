#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/protocols/xnat/xnat_lists.h"
#include "common/remote/remote_path.h"

namespace red {

/// An ID or label as one segment of a REST path. XNAT decodes it for scans and reconstructions only
/// (restlet/resources/files/XNATTemplate.java), so that other objects are better named by their ID.
std::string encode_object_name(std::string_view name);

/// The path of a file below ".../files/" to read it by. XNAT looks for an entry of the catalog with
/// the path as it is sent, then with the decoded one (restlet/resources/files/FileList.java): an
/// escape in the name itself is sent as it is.
std::string encode_file_path(const RemotePath& path);

/// Whether a plain upload stores the file under exactly this name. XNAT decodes the path of an
/// upload only if there is a blank or plus in it, and before 1.8.4 never: other names need an
/// archive.
bool is_kept_by_upload(const RemotePath& path);

/// Why XNAT could store a file of that name but never show or send it; empty: it can.
std::string_view fault_of_file_name(const RemotePath& path);

/// A name as one component of a path: '/' and NUL become %2F and %00, "." and ".." begin with %2E,
/// and the '%' of what looks like one of these becomes %25.
std::string escape_component(std::string_view name);
/// The inverse.
std::string unescape_component(std::string_view component);

/// What each object is called in a directory: its label; its ID where there is no label or where
/// another name is the same.
std::vector<std::string> directory_names(const std::vector<XnatObject>& objects);

}  // namespace red
