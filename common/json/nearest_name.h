#pragma once

#include <span>
#include <string_view>

namespace red {

/// The known name that somebody who wrote `name` most likely meant: few letters differ; case, '_'
/// and '-' do not count. Empty if none is near.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

}  // namespace red
