#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace red {

/// The HTML or XML text with every byte that is not plain ASCII text percent-encoded. A parser then
/// has nothing to guess about encodings, and the bytes of a link survive it, whichever they are.
/// (A name that is written as a character reference comes out of the parser in UTF-8, as it must.)
std::string escape_raw_bytes(std::string_view markup);

/// Without blanks at both ends.
std::string_view trim(std::string_view text);

/// A whole number in decimal digits and nothing else.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace red
