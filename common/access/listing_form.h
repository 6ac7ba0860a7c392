#pragma once

#include <string_view>

#include "common/json/form_description.h"
#include "common/json/json_value.h"
#include "common/json/problems.h"
#include "common/remote/listing.h"

namespace red {

/// An array of files and directories, which hold arrays of the same form.
ValueShape listing_shape();

/// Reads an array; everything that is wrong in it is added to `problems`.
Listing read_listing(const JsonValue& value, const JsonPlace& place, Problems& problems);

/// Parses the JSON text. Throws Error{InvalidAccess} with one line per problem, each with its place
/// as a JSON pointer; the first line says that the listing (named `origin`) is invalid.
Listing parse_listing(std::string_view json, std::string_view origin);

}  // namespace red
