#include "transfer/expansion_limit.h"

#include <string>

#include "common/error.h"

namespace red {

void ExpansionLimit::produce(std::uint64_t bytes) {
  produced_ += bytes;
  if (produced_ <= kFree || produced_ - kFree <= consumed_ * kMostPerByte) return;
  throw Error(ErrorKind::Protocol, "the archive becomes too large: more than 256 MiB and " +
                                       std::to_string(kMostPerByte) +
                                       " times its own size until there");
}

}  // namespace red
