#pragma once

namespace red {
class MountedTree;  // being written
}
