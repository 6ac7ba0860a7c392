#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/error.h"
#include "common/protocols/xnat/tar_reader.h"
#include "common/protocols/xnat/xnat_catalog.h"
#include "common/protocols/xnat/xnat_names.h"

/// Lists and archives of any bytes are taken or refused; names in a catalog can be those of files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try {
    const red::XnatCatalog catalog(red::parse_files(text, "it"), "it");
    for (const red::Entry& entry : *catalog.find_directory({})) {
      if (!red::RemotePath::is_valid_name(entry.name)) std::abort();
    }
  } catch (const red::Error&) {
  }
  try {
    red::parse_objects(text, "it");
    red::parse_resources(text, "it");
  } catch (const red::Error&) {
  }
  const std::string escaped = red::escape_component(text);
  if (red::unescape_component(escaped) != text) std::abort();
  if (!text.empty() && !red::RemotePath::is_valid_name(escaped)) std::abort();
  try {
    red::TarReader reader(1 << 16, [](const red::TarMember& member) {
      if (member.content.size() > 1 << 16) std::abort();
    });
    reader.read(std::as_bytes(std::span(text)));
  } catch (const red::Error&) {
  }
  return 0;
}
