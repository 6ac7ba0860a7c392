#pragma once

#include <cstddef>
#include <string_view>

#include "common/net/http_client.h"

namespace red {

/// Puts a response's head together from its lines. A new status line starts anew: what came before
/// was an interim answer (1xx) or one that was only about authentication. Bounded, as servers may
/// send lines without end.
class ResponseHeadReader {
 public:
  static constexpr std::size_t kMaxBytes = 1 << 20;
  static constexpr std::size_t kMaxLines = 1000;

  /// A request begins: forgets everything.
  void reset();

  /// Takes one line with or without its end. False if the bounds are exceeded.
  bool add_line(std::string_view line);

  /// The head so far; its status is 0 before any line.
  const HttpResponseHead& head() const { return head_; }

 private:
  void add_field(std::string_view line);

  HttpResponseHead head_;
  std::size_t bytes_ = 0;
  std::size_t lines_ = 0;
};

}  // namespace red
