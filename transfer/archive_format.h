#pragma once

namespace red {

/// How the files of a tree are packed into one: by the names of Python's shutil.unpack_archive,
/// which access data uses.
enum class ArchiveFormat { Zip, Tar, Gztar, Bztar, Xztar };

}  // namespace red
