#pragma once

#include <memory>

#include "common/protocols/sftp/sftp_access.h"
#include "common/protocols/sftp/sftp_client.h"
#include "common/remote/examination.h"

namespace red {

/// The examination of an SSH server. Both must outlive it.
Examination examine_sftp(const SftpAccess& access, SftpClient& client);

}  // namespace red
