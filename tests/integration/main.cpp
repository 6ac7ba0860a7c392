#include <gtest/gtest.h>
#include <sys/prctl.h>

#include "tests/support/guardian.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  red::testing::start_guardian();
  // As in a container whose first process is no init: orphans come to us, and nobody reaps them.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  return RUN_ALL_TESTS();
}
