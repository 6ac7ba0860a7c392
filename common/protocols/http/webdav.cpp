#include "common/protocols/http/webdav.h"

#include <libxml/parser.h>

#include <algorithm>
#include <array>
#include <exception>
#include <memory>
#include <string>

#include "common/error.h"
#include "common/net/http_date.h"
#include "common/protocols/http/child_links.h"
#include "common/protocols/http/markup.h"

namespace red {
namespace {

/// Answers nest some ten levels deep.
constexpr std::size_t kMaxDepth = 64;
/// Of one property; a path of 4096 bytes, escaped thrice over, fits.
constexpr std::size_t kMaxText = 64 * 1024;
constexpr std::size_t kChunk = 64 * 1024;

/// The elements of RFC 4918 section 14 and 15 that matter here.
enum class Tag {
  Other,
  Multistatus,
  Response,
  Href,
  Status,
  Propstat,
  Prop,
  ResourceType,
  Collection,
  ContentLength,
  LastModified,
  Etag,
  ContentType,
};

Tag tag_named(std::string_view name) {
  struct Row {
    std::string_view name;
    Tag tag;
  };
  constexpr std::array kTags{
      Row{"multistatus", Tag::Multistatus},
      Row{"response", Tag::Response},
      Row{"href", Tag::Href},
      Row{"status", Tag::Status},
      Row{"propstat", Tag::Propstat},
      Row{"prop", Tag::Prop},
      Row{"resourcetype", Tag::ResourceType},
      Row{"collection", Tag::Collection},
      Row{"getcontentlength", Tag::ContentLength},
      Row{"getlastmodified", Tag::LastModified},
      Row{"getetag", Tag::Etag},
      Row{"getcontenttype", Tag::ContentType},
  };
  const auto found =
      std::find_if(kTags.begin(), kTags.end(), [&](const Row& row) { return row.name == name; });
  return found == kTags.end() ? Tag::Other : found->tag;
}

/// Whether the text of an element is wanted.
bool has_value(Tag tag) {
  return tag == Tag::Href || tag == Tag::Status || tag >= Tag::ContentLength;
}

/// Of "HTTP/1.1 200 OK". What is no status line counts as success, like a missing one.
bool is_success(std::string_view status_line) {
  const std::size_t blank = status_line.find(' ');
  return blank == std::string_view::npos || status_line.substr(blank + 1).starts_with('2');
}

std::string without_weakness(std::string_view etag) {
  return std::string(etag.starts_with("W/") ? etag.substr(2) : etag);
}

struct Response {
  std::string href;
  std::string status;
  Entry entry;  ///< without a name
  bool tells_type = false;
};

void copy_known(const Entry& from, Entry& to) {
  if (from.kind == EntryKind::Directory) to.kind = from.kind;
  if (from.size) to.size = from.size;
  if (from.modified) to.modified = from.modified;
  if (!from.etag.empty()) to.etag = from.etag;
  if (!from.content_type.empty()) to.content_type = from.content_type;
}

/// The answer while it is parsed.
class Multistatus {
 public:
  Multistatus(const Url& directory, std::size_t max_entries)
      : directory_(directory), children_(directory), max_entries_(max_entries) {}

  void start_element(Tag tag);
  void end_element();
  void characters(std::string_view text);
  std::vector<Entry> finish();

 private:
  Tag parent() const { return open_.size() < 2 ? Tag::Other : open_[open_.size() - 2]; }
  void end_property(Tag tag, std::string_view text);
  void end_propstat();
  void end_response();

  const Url& directory_;
  const ChildLinks children_;
  const std::size_t max_entries_;
  std::vector<Entry> entries_;
  std::vector<Tag> open_;
  std::string text_;
  Response response_;
  Response propstat_;  ///< its properties count only with a status of success, which comes last
  bool names_directory_ = false;
};

void Multistatus::start_element(Tag tag) {
  if (open_.empty() && tag != Tag::Multistatus) {
    throw Error(ErrorKind::Protocol, "the answer is no WebDAV multi-status document");
  }
  open_.push_back(tag);
  if (open_.size() > kMaxDepth) throw Error(ErrorKind::Protocol, "the answer nests too deeply");
  text_.clear();
  if (tag == Tag::Response) response_ = {};
  if (tag == Tag::Propstat) propstat_ = {};
}

void Multistatus::characters(std::string_view text) {
  if (open_.empty() || !has_value(open_.back())) return;
  text_ += text;
  if (text_.size() > kMaxText) throw Error(ErrorKind::Protocol, "the answer has an endless value");
}

void Multistatus::end_element() {
  const Tag tag = open_.back();
  if (tag == Tag::Response && parent() == Tag::Multistatus) {
    end_response();
  } else if (tag == Tag::Propstat && parent() == Tag::Response) {
    end_propstat();
  } else if (tag == Tag::Href && parent() == Tag::Response) {
    response_.href = trim(text_);
  } else if (tag == Tag::Status && parent() == Tag::Response) {
    response_.status = trim(text_);
  } else if (tag == Tag::Status && parent() == Tag::Propstat) {
    propstat_.status = trim(text_);
  } else if (tag == Tag::Collection && parent() == Tag::ResourceType) {
    propstat_.entry.kind = EntryKind::Directory;
  } else if (parent() == Tag::Prop) {
    end_property(tag, trim(text_));
  }
  open_.pop_back();
  text_.clear();
}

void Multistatus::end_property(Tag tag, std::string_view text) {
  Entry& entry = propstat_.entry;
  switch (tag) {
    case Tag::ResourceType:
      propstat_.tells_type = true;
      break;
    case Tag::ContentLength:
      entry.size = parse_size(text);
      break;
    case Tag::LastModified:
      entry.modified = parse_http_date(text);
      break;
    case Tag::Etag:
      entry.etag = without_weakness(text);
      break;
    case Tag::ContentType:
      entry.content_type = text;
      break;
    default:
      break;
  }
}

void Multistatus::end_propstat() {
  if (!is_success(propstat_.status)) return;
  copy_known(propstat_.entry, response_.entry);
  response_.tells_type = response_.tells_type || propstat_.tells_type;
}

/// Servers behind proxies name themselves by other hosts and schemes: only the path counts.
void Multistatus::end_response() {
  const std::optional<Url> url = directory_.resolve(response_.href);
  if (!url || response_.href.empty() || url->has_query || !is_success(response_.status)) return;
  if (children_.is_directory(url->path)) names_directory_ = true;
  std::optional<ChildLink> child = children_.find(url->path);
  if (!child) return;
  if (entries_.size() == max_entries_) {
    throw Error(ErrorKind::Protocol, "the answer holds too many entries");
  }
  Entry& entry = entries_.emplace_back(std::move(response_.entry));
  entry.name = std::move(child->name);
  if (child->is_directory && !response_.tells_type) entry.kind = EntryKind::Directory;
  if (entry.kind == EntryKind::Directory) entry.size.reset();
  entry.modified_is_exact = entry.modified.has_value();
}

std::vector<Entry> Multistatus::finish() {
  // An answer about other paths (a proxy that rewrites them) must not pass for an empty directory.
  if (entries_.empty() && !names_directory_) {
    throw Error(ErrorKind::Protocol, "the answer does not name the directory");
  }
  return merge_duplicates(std::move(entries_));
}

/// Carries the parser's events into a Multistatus, and exceptions around the parser, which is C.
class XmlParser {
 public:
  explicit XmlParser(Multistatus& document) : document_(document) {
    xmlSAXHandler events{};
    events.initialized = XML_SAX2_MAGIC;
    events.startElementNs = &XmlParser::on_start;
    events.endElementNs = &XmlParser::on_end;
    events.characters = &XmlParser::on_characters;
    events.cdataBlock = &XmlParser::on_characters;
    events.internalSubset = &XmlParser::on_document_type;
    context_.reset(xmlCreatePushParserCtxt(&events, nullptr, nullptr, 0, nullptr));
    if (!context_) throw std::bad_alloc();
    context_->_private = this;
    xmlCtxtUseOptions(context_.get(), XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                          XML_PARSE_IGNORE_ENC);
  }

  void parse(std::string_view markup) {
    while (!markup.empty() && !failure_) {
      const std::string_view chunk = markup.substr(0, kChunk);
      markup.remove_prefix(chunk.size());
      xmlParseChunk(context_.get(), chunk.data(), static_cast<int>(chunk.size()), 0);
    }
    xmlParseChunk(context_.get(), nullptr, 0, 1);
    if (failure_) std::rethrow_exception(failure_);
    if (!context_->wellFormed) throw Error(ErrorKind::Protocol, "the answer is not valid XML");
  }

 private:
  struct Free {
    void operator()(xmlParserCtxt* context) const { xmlFreeParserCtxt(context); }
  };

  template <typename Event>
  static void forward(void* context, const Event& event) noexcept {
    auto* const parser_context = static_cast<xmlParserCtxt*>(context);
    auto& parser = *static_cast<XmlParser*>(parser_context->_private);
    if (parser.failure_) return;
    try {
      event(parser.document_);
    } catch (...) {
      parser.failure_ = std::current_exception();
      xmlStopParser(parser_context);
    }
  }
  static void on_start(void* context, const xmlChar* name, const xmlChar*, const xmlChar* space,
                       int, const xmlChar**, int, int, const xmlChar**) {
    const bool is_dav = xmlStrEqual(space, BAD_CAST "DAV:") != 0;
    const Tag tag = is_dav ? tag_named(reinterpret_cast<const char*>(name)) : Tag::Other;
    forward(context, [&](Multistatus& document) { document.start_element(tag); });
  }
  static void on_end(void* context, const xmlChar*, const xmlChar*, const xmlChar*) {
    forward(context, [](Multistatus& document) { document.end_element(); });
  }
  static void on_characters(void* context, const xmlChar* text, int length) {
    const std::string_view view(reinterpret_cast<const char*>(text),
                                static_cast<std::size_t>(length));
    forward(context, [&](Multistatus& document) { document.characters(view); });
  }
  static void on_document_type(void* context, const xmlChar*, const xmlChar*, const xmlChar*) {
    forward(context, [](Multistatus&) {
      throw Error(ErrorKind::Protocol, "the answer has a document type, which WebDAV does not");
    });
  }

  Multistatus& document_;
  std::unique_ptr<xmlParserCtxt, Free> context_;
  std::exception_ptr failure_;
};

}  // namespace

std::string_view propfind_body() {
  return R"(<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/>)"
         R"(<getcontenttype/></prop></propfind>)";
}

std::vector<Entry> parse_multistatus(std::string_view body, const Url& directory,
                                     std::size_t max_entries) {
  try {
    Multistatus document(directory, max_entries);
    XmlParser(document).parse(escape_raw_bytes(body));
    return document.finish();
  } catch (const Error& error) {
    throw error.within("listing " + directory.to_display());
  }
}

}  // namespace red
