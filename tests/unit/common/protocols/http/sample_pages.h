#pragma once

#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/remote/entry.h"

namespace red::testing {

/// What real servers answered for the same directory of awkward names: a page in pages/.
inline std::string sample_page(std::string_view name) {
  const std::string path = RED_TEST_DATA "/common/protocols/http/pages/" + std::string(name);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The files in that directory with their sizes. All were modified at 2020-03-03 20:01:02 UTC.
inline std::map<std::string, std::uint64_t> sample_files() {
  std::map<std::string, std::uint64_t> files;
  for (const char* name : {"plain.txt",
                           "two words.txt",
                           " leading space",
                           "trailing space ",
                           "hash#tag",
                           "question?mark",
                           "100%",
                           "50%25.txt",
                           "a&b",
                           "a&amp;b",
                           "&lt;",
                           "a+b",
                           "single'quote",
                           "double\"quote",
                           "<tag>",
                           "back\\slash",
                           "a:b",
                           "http:x",
                           ".hidden",
                           "-dash",
                           "~tilde",
                           "semi;colon",
                           "comma,equals=at@dollar$",
                           "[brackets]{braces}",
                           "pipe|caret^grave`",
                           "star*bang!(paren)",
                           "caf\xc3\xa9.txt",
                           "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
                           "latin1-\xe9",
                           "...",
                           "..dots",
                           "%2e%2e",
                           "%2F",
                           "C=N;O=D",
                           "index of",
                           "new\nline",
                           "tab\there",
                           "\x01"
                           "control",
                           "03-Mar-2020 20:01 123"}) {
    files[name] = 12;
  }
  files[std::string(255, 'x')] = 12;
  files["HEADER.inc.html"] = 148;
  files["README.inc.html"] = 97;
  for (const std::uint64_t size :
       {0ull, 972ull, 973ull, 9999ull, 10000ull, 5000000ull, 5000000000ull}) {
    files["size-" + std::to_string(size)] = size;
  }
  return files;
}

inline std::vector<std::string> sample_directories() {
  return {"caf\xc3\xa9 dir", "dir with space", "dir#1", "empty", "sub"};
}

inline const FileTime kSampleTime{std::chrono::seconds{1583265662}};

}  // namespace red::testing
