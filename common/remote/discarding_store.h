#pragma once

#include <memory>
#include <string>

#include "common/remote/remote_store.h"

namespace red {

/// A store that takes whatever is sent, reads it to its end and throws it away, without any
/// network: sending to it proves that all could have been sent. It holds nothing.
/// `location` is for messages.
std::unique_ptr<RemoteStore> make_discarding_store(std::string location);

}  // namespace red
