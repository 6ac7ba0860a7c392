#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace red {

/// The SHA-1 of bytes that come piece by piece (FIPS 180-4). Not thread-safe.
class Sha1 {
 public:
  Sha1();
  ~Sha1();

  void update(std::span<const std::byte> bytes);
  /// 40 lower-case hex digits. Ends the calculation.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace red
