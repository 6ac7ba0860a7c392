#pragma once

#include <cstdint>

#include "tests/support/file_descriptor.h"

namespace red::testing {

/// A loopback TCP port that no other test of this machine takes while this object lives: held by an
/// abstract Unix socket of that number, and taken from below the range that the kernel gives to
/// outgoing connections.
class ReservedPort {
 public:
  ReservedPort();
  std::uint16_t number() const { return number_; }

 private:
  std::uint16_t number_ = 0;
  FileDescriptor reservation_;
};

/// A socket that listens on 127.0.0.1. Throws std::system_error if the port is taken.
FileDescriptor listen_on(std::uint16_t port);

/// A connection to 127.0.0.1; an empty descriptor if it was refused.
FileDescriptor connect_to(std::uint16_t port);

}  // namespace red::testing
