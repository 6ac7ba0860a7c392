#include "common/cache/content_name.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>

namespace red {
namespace {

// Full seconds in most protocols, two in some archives and file systems.
constexpr std::chrono::seconds kTimeGrain{2};

void append_hex(std::string& text, std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{0xF})];
  }
}

/// Each part with its length in front: no two lists of parts make one text.
std::string join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    text += std::to_string(part.size()) + ":";
    text += part;
  }
  return text;
}

bool is_weak(const std::string& etag) { return etag.starts_with("W/"); }

std::string_view as_text(const HashValue& value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

}  // namespace

std::string ContentName::file_name() const {
  std::string text;
  append_hex(text, std::span(path).first(1));
  text += '/';
  append_hex(text, std::span(path).subspan(1));
  text += '-';
  append_hex(text, version);
  return text;
}

ContentNaming::ContentNaming(const HashValue& cache_key, std::string_view asker,
                             std::string_view secret) {
  HashValue proof{};
  if (!secret.empty()) proof = slow_hash(cache_key, secret);
  key_ = keyed_hash(cache_key, join({"asker", asker, secret.empty() ? "" : as_text(proof)}));
}

/// The ETag alone, if there is one: some lists tell it without the time. Otherwise the time.
ContentName ContentNaming::name(std::string_view location, const Version& version) const {
  const std::string size = std::to_string(version.size.value_or(0));
  const bool needs_time = version.modified && (version.etag.empty() || is_weak(version.etag));
  const std::string time =
      needs_time ? std::to_string(version.modified->time_since_epoch().count()) : "";
  const HashValue path = keyed_hash(key_, join({"path", location}));
  const HashValue whole = keyed_hash(key_, join({"version", location, version.etag, time, size}));
  ContentName name;
  std::copy_n(path.begin(), name.path.size(), name.path.begin());
  std::copy_n(whole.begin(), name.version.size(), name.version.begin());
  std::memcpy(&name.seed, whole.data() + name.version.size(), sizeof(name.seed));
  return name;
}

bool is_durable(const Version& version, FileTime now) {
  if (!version.size || *version.size == 0) return false;
  if (version.modified) return *version.modified + kTimeGrain <= now;
  return !version.etag.empty() && !is_weak(version.etag);
}

}  // namespace red
