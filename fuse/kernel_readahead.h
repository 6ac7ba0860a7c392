#pragma once

#include "fuse/mount_table.h"

namespace red {

/// Lets the kernel read ahead that far in files of a mounted file system. Best effort: only root
/// may, and only where /sys can be written.
void set_kernel_readahead(const DeviceNumber& device, unsigned kibibytes) noexcept;

}  // namespace red
