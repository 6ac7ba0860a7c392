#include "common/remote/remote_path.h"

#include <gtest/gtest.h>

#include <string>

#include "common/error.h"

namespace red {
namespace {

TEST(RemotePath, RootHasNeitherTextNorComponents) {
  const RemotePath root;
  EXPECT_TRUE(root.is_root());
  EXPECT_EQ(root.text(), "");
  EXPECT_TRUE(root.components().empty());
}

TEST(RemotePath, ChildAndParentUndoEachOther) {
  const RemotePath path = RemotePath{}.child("sub-01").child("t 1.nii");
  EXPECT_EQ(path.text(), "sub-01/t 1.nii");
  EXPECT_EQ(path.name(), "t 1.nii");
  EXPECT_EQ(path.parent().text(), "sub-01");
  EXPECT_TRUE(path.parent().parent().is_root());
}

TEST(RemotePath, ListsItsComponentsInOrder) {
  const RemotePath path = RemotePath{}.child("a").child("b").child("c");
  const std::vector<std::string_view> expected{"a", "b", "c"};
  EXPECT_EQ(path.components(), expected);
}

TEST(RemotePath, TakesAnyBytesButSlashAndNulInAName) {
  EXPECT_TRUE(RemotePath::is_valid_name("..."));
  EXPECT_TRUE(RemotePath::is_valid_name("-x"));
  EXPECT_TRUE(RemotePath::is_valid_name("\xff\xfe"));
  EXPECT_TRUE(RemotePath::is_valid_name(std::string(255, 'n')));
}

TEST(RemotePath, RefusesWhatLeadsElsewhere) {
  for (const std::string& name : {std::string(), std::string("."), std::string(".."),
                                  std::string("a/b"), std::string("/"), std::string("a\0b", 3)}) {
    try {
      RemotePath{}.child(name);
      ADD_FAILURE() << "accepted: " << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    }
  }
}

}  // namespace
}  // namespace red
