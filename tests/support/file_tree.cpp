#include "tests/support/file_tree.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <stdexcept>

namespace red::testing {

std::string random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof word, size - i));
  }
  return bytes;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  std::string content;
  std::vector<char> block(1 << 20);
  do {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    content.append(block.data(), static_cast<std::size_t>(file.gcount()));
  } while (file);
  if (file.bad()) throw std::runtime_error("cannot read " + path.string());
  return content;
}

void write_tree(const std::filesystem::path& root, const FileTree& tree) {
  for (const auto& [name, content] : tree) {
    if (name.ends_with('/')) {
      std::filesystem::create_directories(root / name);
      continue;
    }
    std::filesystem::create_directories((root / name).parent_path());
    write_file(root / name, content);
  }
}

FileTree read_tree(const std::filesystem::path& root) {
  FileTree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string name = entry.path().lexically_relative(root);
    if (!entry.is_directory()) {
      tree[name] = read_file(entry.path());
    } else if (std::filesystem::is_empty(entry.path())) {
      tree[name + "/"] = "";
    }
  }
  return tree;
}

std::string differences(const FileTree& actual, const FileTree& expected) {
  std::string text;
  for (const auto& [name, content] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) {
      text += "missing: '" + name + "'\n";
    } else if (found->second != content) {
      text += "other content: '" + name + "', " + std::to_string(found->second.size()) +
              " bytes for " + std::to_string(content.size()) + "\n";
    }
  }
  for (const auto& [name, content] : actual) {
    if (!expected.contains(name)) text += "unexpected: '" + name + "'\n";
  }
  return text;
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> nasty_names() {
  return {
      "plain.txt",
      "with space.txt",
      " leading and trailing ",
      "hash#tag",
      "question?mark=1&b=2",
      "percent%20literal",
      "percent%",
      "%2F%2e%2e",
      "amp&amp;entity",
      "plus+sign",
      "single'quote",
      "double\"quote",
      "angle<b>bracket>",
      "semi;colon,comma:colon",
      "equals=at@dollar$bang!",
      "brackets[0](1){2}",
      "back\\slash",
      "pipe|caret^tilde~tick`star*",
      "Gr\xC3\xB6\xC3\x9F"
      "e \xE2\x82\xAC \xE6\x96\x87\xE4\xBB\xB6 \xF0\x9F\x98\x80",
      "-leading-dash",
      std::string(255, 'x'),
      // 85 characters of three bytes each: 255 bytes, 765 when escaped.
      [] {
        std::string name;
        for (int i = 0; i < 85; ++i) name += "\xE2\x82\xAC";
        return name;
      }(),
  };
}

std::vector<std::string> dot_names() { return {".hidden", "..two dots", "..."}; }

std::vector<std::string> hard_names() {
  std::vector<std::string> names = nasty_names();
  for (const auto& more :
       {dot_names(),
        {"new\nline", "tab\there", "bell\a", "\xFF\xFE not UTF-8", "\xC3",
         std::string(254, 'y') + "\xE4", "*", "?", "[a]", "~", "-rf", "$HOME", "\x01\x7F"}}) {
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

FileTree nasty_tree(const std::vector<std::string>& names) {
  FileTree tree;
  for (const std::string& name : names) {
    tree[name] = "content of " + name;
    tree["in directories/" + name + "/inner.txt"] = "inner content of " + name;
  }
  return tree;
}

}  // namespace red::testing
