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

IndexFormat index_format_of(std::string_view page, std::string_view content_type) {
  const auto holds = [page](std::string_view words) { return page.find(words) != page.npos; };
  if (page_type(page, content_type) == PageType::Json) {
    if (holds("\"is_dir\"")) return IndexFormat::CaddyJson;
    return holds("\"type\"") ? IndexFormat::NginxJson : IndexFormat::EmptyJson;
  }
  if (holds("<h1>Directory listing for ")) return IndexFormat::Python;
  if (holds("</h1><hr><pre><a href=\"../\">../</a>")) return IndexFormat::NginxHtml;
  if (holds("<div class=\"foot\">lighttpd")) return IndexFormat::Lighttpd;
  if (holds("https://caddyserver.com")) return IndexFormat::CaddyHtml;
  if (holds("<title>Index of ") && holds("Parent Directory")) return IndexFormat::Apache;
  return IndexFormat::OtherHtml;
}

std::string_view name_of(IndexFormat format) noexcept {
  switch (format) {
    case IndexFormat::None:
      return "no index page";
    case IndexFormat::NginxHtml:
      return "nginx index (HTML)";
    case IndexFormat::NginxJson:
      return "nginx index (JSON)";
    case IndexFormat::Apache:
      return "Apache index";
    case IndexFormat::Lighttpd:
      return "lighttpd index";
    case IndexFormat::CaddyHtml:
      return "Caddy index (HTML)";
    case IndexFormat::CaddyJson:
      return "Caddy index (JSON)";
    case IndexFormat::Python:
      return "index of Python's http.server";
    case IndexFormat::EmptyJson:
      return "index (JSON, empty)";
    case IndexFormat::OtherHtml:
      return "page with links, of no known server's index";
  }
  return {};
}

}  // namespace red
