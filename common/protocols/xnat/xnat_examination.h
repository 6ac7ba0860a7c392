#pragma once

#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_queries.h"
#include "common/remote/examination.h"

namespace red {

/// The examination of an XNAT site. Both must outlive it.
Examination examine_xnat(const XnatAccess& access, const XnatQueries& queries);

}  // namespace red
