#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace red {

using HashValue = std::array<std::byte, 32>;

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4). Throws Error{Internal} if OpenSSL cannot.
HashValue keyed_hash(std::span<const std::byte> key, std::string_view text);

/// What stands for a secret where others may see it: scrypt (RFC 7914) with N = 2^14, r = 8, p = 1,
/// so that each guess costs 16 MiB and tens of milliseconds, as this call does. Throws
/// Error{Internal} if OpenSSL cannot.
HashValue slow_hash(std::span<const std::byte> salt, std::string_view secret);

/// From the kernel's generator; throws Error{LocalIo}.
HashValue random_key();

}  // namespace red
