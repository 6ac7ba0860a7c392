#include "common/protocols/http/html_index.h"

#include <libxml/HTMLparser.h>

#include <algorithm>
#include <climits>
#include <exception>
#include <memory>
#include <set>
#include <string>

#include "common/error.h"
#include "common/logging.h"
#include "common/net/http_date.h"
#include "common/protocols/http/child_links.h"
#include "common/protocols/http/markup.h"

namespace red {
namespace {

/// As deep as libxml2 itself goes when it builds trees; index pages need a dozen.
constexpr std::size_t kMaxDepth = 256;
/// Times and sizes are the first words after a link, titles the first of a heading.
constexpr std::size_t kMaxText = 256;

std::string_view to_view(const xmlChar* text) {
  return text ? reinterpret_cast<const char*>(text) : std::string_view{};
}

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_prefix) {
  return text.size() >= lower_prefix.size() &&
         std::equal(lower_prefix.begin(), lower_prefix.end(), text.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
         });
}

void append_bounded(std::string& text, std::string_view more) {
  text += more.substr(0, kMaxText - std::min(kMaxText, text.size()));
}

/// What is around a link on the page, as far as it tells about the file.
struct Row {
  std::string href;
  std::string link_text;
  std::string text;          ///< after the link; a '\t' begins each table cell
  std::string size;          ///< Caddy's machine-readable size
  std::string time;          ///< and time
  bool is_shortcut = false;  ///< Caddy's sign of a symbolic link
};

/// A size at the front of a column: digits that no unit follows.
std::optional<std::uint64_t> size_in_column(std::string_view text) {
  text = text.substr(std::min(text.find_first_not_of(" \t\n\r"), text.size()));
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view after = text.substr(end);
  // In "12 KB" a single blank stands between number and unit, columns are further apart.
  const bool ends_column = trim(after.substr(0, 2)).empty() || after.starts_with('\t');
  return ends_column ? parse_size(text.substr(0, end)) : std::nullopt;
}

/// The page while it is parsed: collects the links to children with what stands beside them.
class Page {
 public:
  Page(const Url& directory, std::size_t max_entries)
      : directory_(directory), children_(directory), max_entries_(max_entries) {
    if (const std::optional<Url> parent = directory.resolve("..")) parent_path_ = parent->path;
  }

  void start_element(std::string_view name, const xmlChar** attributes);
  void end_element(std::string_view name);
  void characters(std::string_view text);
  std::optional<std::vector<Entry>> finish();

 private:
  struct Candidate {
    Entry entry;
    std::size_t block;
  };

  void start_link(std::string_view href);
  void start_block();
  void note_detail(std::string_view element, const xmlChar** attributes);
  void end_row();
  void end_heading();
  void note_mark(const Row& row);
  Entry to_entry(ChildLink child, const Row& row) const;
  void read_text_columns(std::string_view text, Entry& entry) const;
  void keep_only_listing_blocks();

  const Url& directory_;
  const ChildLinks children_;
  const std::size_t max_entries_;
  std::string parent_path_;

  std::vector<Candidate> candidates_;
  /// A block is an outermost <pre>, <table> or <ul>; 0 is all outside of them. Apache puts its list
  /// into one block; a README beside it may have links of its own.
  std::set<std::size_t> apache_blocks_;
  std::size_t block_count_ = 0;
  std::size_t block_depth_ = 0;
  std::size_t depth_ = 0;

  Row row_;
  std::string heading_;
  bool in_row_ = false;
  bool in_link_ = false;
  bool in_heading_ = false;
  bool has_size_column_ = false;
  bool is_caddy_ = false;
  bool is_index_ = false;
};

bool is_block(std::string_view element) {
  return element == "pre" || element == "table" || element == "ul";
}

bool is_heading(std::string_view element) {
  return element == "title" || element == "h1" || element == "h2";
}

std::string_view find_attribute(const xmlChar** attributes, std::string_view name) {
  for (; attributes && attributes[0]; attributes += 2) {
    if (to_view(attributes[0]) == name) return to_view(attributes[1]);
  }
  return {};
}

void Page::start_element(std::string_view name, const xmlChar** attributes) {
  if (++depth_ > kMaxDepth) throw Error(ErrorKind::Protocol, "the page nests too deeply");
  if (name == "a") {
    start_link(find_attribute(attributes, "href"));
  } else if (is_block(name)) {
    start_block();
  } else if (name == "tr" || name == "li") {
    end_row();
  } else if (is_heading(name)) {
    in_heading_ = true;
    heading_.clear();
  } else if (in_row_) {
    note_detail(name, attributes);
  }
}

/// Beside the text, only Caddy's attributes tell something.
void Page::note_detail(std::string_view element, const xmlChar** attributes) {
  if (element == "td") {
    append_bounded(row_.text, "\t");
    row_.size += find_attribute(attributes, "data-order");  // 2.6
    row_.size += find_attribute(attributes, "data-size");   // 2.7 and later
  } else if (element == "time") {
    row_.time = find_attribute(attributes, "datetime");
  } else if (element == "use") {
    row_.is_shortcut = find_attribute(attributes, "xlink:href").ends_with("-shortcut");
  }
}

void Page::end_element(std::string_view name) {
  if (depth_ > 0) --depth_;
  if (name == "a") {
    in_link_ = false;
  } else if (is_block(name)) {
    end_row();
    if (block_depth_ > 0) --block_depth_;
  } else if (name == "tr" || name == "li") {
    end_row();
  } else if (is_heading(name)) {
    end_heading();
  }
}

void Page::characters(std::string_view text) {
  if (in_heading_) append_bounded(heading_, text);
  if (in_row_) append_bounded(in_link_ ? row_.link_text : row_.text, text);
  const bool may_be_header = !in_row_ || in_link_;
  if (may_be_header && text.find("Size") != std::string_view::npos) has_size_column_ = true;
}

void Page::start_link(std::string_view href) {
  end_row();
  row_ = {};
  row_.href = href;
  in_row_ = true;
  in_link_ = true;
}

void Page::start_block() {
  end_row();
  if (block_depth_++ == 0) ++block_count_;
}

void Page::end_heading() {
  in_heading_ = false;
  const std::string_view heading = trim(heading_);
  if (starts_with_ignoring_case(heading, "index of ") ||
      starts_with_ignoring_case(heading, "directory listing for ")) {
    is_index_ = true;
  }
}

/// Files the link that the row began with.
void Page::end_row() {
  if (!in_row_) return;
  in_row_ = false;
  in_link_ = false;
  std::optional<ChildLink> child = children_.follow(row_.href);
  if (!child) return note_mark(row_);
  if (candidates_.size() == max_entries_) {
    throw Error(ErrorKind::Protocol, "the page holds too many entries");
  }
  candidates_.push_back({to_entry(std::move(*child), row_), block_depth_ > 0 ? block_count_ : 0});
}

/// Links that are no entries may tell who made the page.
void Page::note_mark(const Row& row) {
  const std::optional<Url> target = directory_.resolve(row.href);
  if (!target) return;
  if (target->host == "caddyserver.com") is_caddy_ = is_index_ = true;
  const bool sorts = target->path == directory_.path && target->query.starts_with("C=");
  const bool leads_up = target->path == parent_path_ && trim(row.link_text) == "Parent Directory";
  if (!sorts && !leads_up) return;
  is_index_ = true;
  if (block_depth_ > 0) apache_blocks_.insert(block_count_);
}

Entry Page::to_entry(ChildLink child, const Row& row) const {
  Entry entry;
  entry.name = std::move(child.name);
  entry.kind = child.is_directory ? EntryKind::Directory : EntryKind::File;
  // Caddy tells of a symbolic link its own time, and in some versions its own size.
  if (row.is_shortcut) return entry;
  if (row.time.empty()) {
    read_text_columns(trim(row.text), entry);
  } else {
    entry.modified = parse_rfc3339(trim(row.time));
    entry.modified_is_exact = entry.modified.has_value();
    entry.size = parse_size(row.size);
  }
  if (child.is_directory) entry.size.reset();
  return entry;
}

/// A time of a known form, perhaps a size. Most servers mean UTC, Apache its own zone: never exact.
void Page::read_text_columns(std::string_view text, Entry& entry) const {
  if (text.starts_with('/')) text = trim(text.substr(1));  // lighttpd: <a>name</a>/
  if (const auto nginx = read_time(text, "%d-%b-%Y %H:%M")) {
    entry.modified = nginx;
    entry.size = size_in_column(text);
  } else if (const auto lighttpd = read_time(text, "%Y-%b-%d %H:%M:%S")) {
    entry.modified = lighttpd;  // its sizes are rounded, all of them
  } else if (const auto apache = read_time(text, "%Y-%m-%d %H:%M")) {
    entry.modified = apache;
    // Without a size column a description follows, and may begin with a number.
    if (has_size_column_) entry.size = size_in_column(text);
  }
}

void Page::keep_only_listing_blocks() {
  if (apache_blocks_.empty()) return;
  std::erase_if(candidates_, [this](const Candidate& candidate) {
    return !apache_blocks_.contains(candidate.block);
  });
}

std::optional<std::vector<Entry>> Page::finish() {
  end_row();
  if (candidates_.empty() && !is_index_) return std::nullopt;
  if (!is_index_) {
    log(LogLevel::Info, directory_.to_display() +
                            ": the page has no mark of a directory index that is known here; its "
                            "links are taken for the directory's entries");
  }
  keep_only_listing_blocks();
  std::vector<Entry> entries;
  entries.reserve(candidates_.size());
  for (Candidate& candidate : candidates_) {
    // Who made the page is known only now: nobody else's sizes are trusted to be exact.
    if (!is_index_) candidate.entry.size.reset();
    entries.push_back(std::move(candidate.entry));
  }
  return merge_duplicates(std::move(entries));
}

/// Carries the parser's events into a Page, and exceptions around the parser, which is C.
class HtmlParser {
 public:
  explicit HtmlParser(Page& page) : page_(page), context_(htmlNewParserCtxt()) {
    if (!context_) throw std::bad_alloc();
    *context_->sax = {};
    context_->sax->startElement = &HtmlParser::on_start;
    context_->sax->endElement = &HtmlParser::on_end;
    context_->sax->characters = &HtmlParser::on_characters;
    context_->_private = this;
  }

  void parse(std::string_view markup) {
    if (markup.size() > INT_MAX) throw Error(ErrorKind::Protocol, "the page is too large");
    xmlFreeDoc(htmlCtxtReadMemory(
        context_.get(), markup.data(), static_cast<int>(markup.size()), nullptr, "UTF-8",
        HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET));
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Free {
    void operator()(htmlParserCtxt* context) const { htmlFreeParserCtxt(context); }
  };

  template <typename Event>
  static void forward(void* context, const Event& event) noexcept {
    auto* const parser_context = static_cast<htmlParserCtxt*>(context);
    auto& parser = *static_cast<HtmlParser*>(parser_context->_private);
    if (parser.failure_) return;
    try {
      event(parser.page_);
    } catch (...) {
      parser.failure_ = std::current_exception();
      xmlStopParser(parser_context);
    }
  }
  static void on_start(void* context, const xmlChar* name, const xmlChar** attributes) {
    forward(context, [&](Page& page) { page.start_element(to_view(name), attributes); });
  }
  static void on_end(void* context, const xmlChar* name) {
    forward(context, [&](Page& page) { page.end_element(to_view(name)); });
  }
  static void on_characters(void* context, const xmlChar* text, int length) {
    const std::string_view view(reinterpret_cast<const char*>(text),
                                static_cast<std::size_t>(length));
    forward(context, [&](Page& page) { page.characters(view); });
  }

  Page& page_;
  std::unique_ptr<htmlParserCtxt, Free> context_;
  std::exception_ptr failure_;
};

}  // namespace

std::optional<std::vector<Entry>> parse_html_index(std::string_view page, const Url& directory,
                                                   std::size_t max_entries) {
  Page parsed(directory, max_entries);
  HtmlParser(parsed).parse(escape_raw_bytes(page));
  return parsed.finish();
}

}  // namespace red
