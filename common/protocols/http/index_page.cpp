#include "common/protocols/http/index_page.h"

#include "common/error.h"
#include "common/protocols/http/html_index.h"
#include "common/protocols/http/json_index.h"
#include "common/protocols/http/markup.h"

namespace red {
namespace {

enum class PageType { Html, Json, Other };

/// The media type without parameters, in lower case.
std::string media_type(std::string_view content_type) {
  std::string type(trim(content_type.substr(0, content_type.find(';'))));
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type;
}

PageType page_type(std::string_view page, std::string_view content_type) {
  const std::string type = media_type(content_type);
  if (type == "application/json" || type == "text/json") return PageType::Json;
  if (type == "text/html" || type == "application/xhtml+xml") return PageType::Html;
  if (!type.empty()) return PageType::Other;
  return trim(page).starts_with('[') ? PageType::Json : PageType::Html;
}

std::optional<std::vector<Entry>> parse_page(std::string_view page, std::string_view content_type,
                                             const Url& directory, std::size_t max_entries) {
  switch (page_type(page, content_type)) {
    case PageType::Html:
      return parse_html_index(page, directory, max_entries);
    case PageType::Json:
      return parse_json_index(page, directory, max_entries);
    case PageType::Other:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Entry> parse_index_page(std::string_view page, std::string_view content_type,
                                    const Url& directory, std::size_t max_entries) {
  std::optional<std::vector<Entry>> entries;
  try {
    entries = parse_page(page, content_type, directory, max_entries);
  } catch (const Error& error) {
    throw error.within("listing " + directory.to_display());
  }
  if (!entries) {
    throw Error(ErrorKind::Unsupported,
                "listing " + directory.to_display() + ": the page is no directory index");
  }
  return std::move(*entries);
}

}  // namespace red
