#include <gtest/gtest.h>

#include "tests/support/guardian.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  red::testing::start_guardian();
  return RUN_ALL_TESTS();
}
