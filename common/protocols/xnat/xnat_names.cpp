#include "common/protocols/xnat/xnat_names.h"

#include <algorithm>
#include <array>
#include <map>

namespace red {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

bool is_unreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-._~").find(c) != std::string_view::npos;
}

void append_encoded(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHexDigits[byte >> 4];
  out += kHexDigits[byte & 15];
}

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool begins_with_escape(std::string_view text) {
  return text.size() >= 3 && text[0] == '%' && is_hex_digit(text[1]) && is_hex_digit(text[2]);
}

/// RFC 3629; the length of the sequence at the begin, 0 if there is none.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xC2 && byte(0) < 0xE0) return continues(1) ? 2 : 0;
  if (byte(0) >= 0xE0 && byte(0) < 0xF0) {
    const bool is_overlong = byte(0) == 0xE0 && byte(1) < 0xA0;
    const bool is_surrogate = byte(0) == 0xED && byte(1) >= 0xA0;
    return continues(1) && continues(2) && !is_overlong && !is_surrogate ? 3 : 0;
  }
  const bool is_in_range = byte(0) == 0xF0   ? byte(1) >= 0x90
                           : byte(0) == 0xF4 ? byte(1) < 0x90
                                             : byte(0) > 0xF0 && byte(0) < 0xF4;
  return is_in_range && continues(1) && continues(2) && continues(3) ? 4 : 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// One component that a directory cannot have, and what stands for it there.
struct Escape {
  char raw;
  std::string_view escaped;
};
constexpr std::array kEscapes{Escape{'/', "%2F"}, Escape{'\0', "%00"}, Escape{'.', "%2E"},
                              Escape{'%', "%25"}};

bool looks_escaped(std::string_view text) {
  return std::any_of(kEscapes.begin(), kEscapes.end(),
                     [&](const Escape& escape) { return text.starts_with(escape.escaped); });
}

}  // namespace

std::string encode_object_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (is_unreserved(c)) {
      out += c;
    } else if (c == '/') {
      out += "%5BSLASH%5D";
    } else if (c == ',') {
      // XNAT takes it for the end of one name in a list of several.
      out += "%5BCOMMA%5D";
    } else {
      append_encoded(out, c);
    }
  }
  return out;
}

std::string encode_file_path(const RemotePath& path) {
  const std::string_view text = path.text();
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_unreserved(text[i]) || text[i] == '/' || begins_with_escape(text.substr(i))) {
      out += text[i];
    } else {
      append_encoded(out, text[i]);
    }
  }
  return out;
}

bool is_kept_by_upload(const RemotePath& path) {
  return std::all_of(path.text().begin(), path.text().end(),
                     [](char c) { return is_unreserved(c) || c == '/'; });
}

std::string_view fault_of_file_name(const RemotePath& path) {
  const std::string& text = path.text();
  if (text.ends_with("_catalog.xml")) return "XNAT keeps names that end with _catalog.xml";
  if (text.find_first_of("%;\\") != std::string::npos) {
    return "XNAT cannot send a file with %, ; or \\ in its name";
  }
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    return "XNAT cannot send a file with control characters in its name";
  }
  if (!is_utf8(text)) return "XNAT takes names in UTF-8 only";
  return {};
}

std::string escape_component(std::string_view name) {
  const bool is_dots = name == "." || name == "..";
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto* escape = std::find_if(kEscapes.begin(), kEscapes.end(),
                                      [&](const Escape& each) { return each.raw == name[i]; });
    const bool is_needed =
        escape != kEscapes.end() && (name[i] == '.'   ? is_dots
                                     : name[i] == '%' ? looks_escaped(name.substr(i))
                                                      : true);
    if (is_needed) {
      out += escape->escaped;
    } else {
      out += name[i];
    }
  }
  return out;
}

std::string unescape_component(std::string_view component) {
  std::string out;
  while (!component.empty()) {
    const auto* escape = std::find_if(kEscapes.begin(), kEscapes.end(), [&](const Escape& each) {
      return component.starts_with(each.escaped);
    });
    out += escape != kEscapes.end() ? escape->raw : component[0];
    component.remove_prefix(escape != kEscapes.end() ? escape->escaped.size() : 1);
  }
  return out;
}

/// An ID may be another object's label: whoever has it as label then goes by ID as well, until no
/// two names are the same. IDs are not.
std::vector<std::string> directory_names(const std::vector<XnatObject>& objects) {
  std::vector<std::string> names;
  std::vector<bool> by_label;
  for (const XnatObject& object : objects) {
    by_label.push_back(!object.label.empty());
    names.push_back(escape_component(object.label.empty() ? object.id : object.label));
  }
  for (bool has_changed = true; has_changed;) {
    has_changed = false;
    std::map<std::string_view, int> uses;
    for (const std::string& name : names) ++uses[name];
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (!by_label[i] || uses[names[i]] == 1) continue;
      by_label[i] = false;
      has_changed = true;
    }
    if (!has_changed) break;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (!by_label[i]) names[i] = escape_component(objects[i].id);
    }
  }
  return names;
}

}  // namespace red
