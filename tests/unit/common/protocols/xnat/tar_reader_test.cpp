#include "common/protocols/xnat/tar_reader.h"

#include <gtest/gtest.h>

#include <map>

#include "common/error.h"
#include "tests/support/file_tree.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

using testing::FileTree;

constexpr std::uint64_t kMaxMember = 1 << 20;

/// An archive that others have made. `format` is a constant of Python's tarfile.
std::string archive_of(const FileTree& tree, const std::string& format) {
  const testing::TemporaryDirectory directory;
  testing::write_tree(directory / "tree", tree);
  const auto outcome = testing::run(
      {.arguments = {"/usr/bin/python3", "-c",
                     "import os, sys, tarfile; os.chdir(sys.argv[1]); "
                     "t = tarfile.open(sys.argv[2], 'w', format=getattr(tarfile, sys.argv[3])); "
                     "[t.add(name) for name in sorted(os.listdir('.'))]; t.close()",
                     directory / "tree", directory / "a.tar", format},
       .environment = {{"PYTHONUTF8", "1"}}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  return testing::read_file(directory / "a.tar");
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// What comes out when the archive goes in by so many bytes at a time.
FileTree members_of(std::string_view archive, std::size_t piece, std::uint64_t max = kMaxMember) {
  FileTree members;
  TarReader reader(max, [&](TarMember member) {
    EXPECT_TRUE(member.modified);
    members[member.name] =
        std::string(reinterpret_cast<const char*>(member.content.data()), member.content.size());
  });
  while (!archive.empty()) {
    reader.read(bytes_of(archive.substr(0, piece)));
    archive.remove_prefix(std::min(piece, archive.size()));
  }
  return members;
}

class TarReaderOf : public ::testing::TestWithParam<const char*> {};

TEST_P(TarReaderOf, BringsEveryFileWhateverThePieces) {
  const std::string deep =
      std::string(70, 'd') + "/" + std::string(70, 'e') + "/" + std::string(60, 'f');
  const FileTree tree{{"a", "1"},
                      {"empty", ""},
                      {"sub/block", testing::random_bytes(512)},
                      {"sub/more", testing::random_bytes(100'001)},
                      {deep, "deep"},
                      {"z", "last"}};
  const std::string archive = archive_of(tree, GetParam());
  for (const std::size_t piece : {1UL, 7UL, 512UL, 1000UL, archive.size()}) {
    EXPECT_EQ(testing::differences(members_of(archive, piece), tree), "") << piece;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, TarReaderOf,
                         ::testing::Values("USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"));

TEST(TarReader, ReadsLongNamesThatAreNotAscii) {
  const FileTree tree{{std::string(80, 'a') + "/\xC3\xA9 " + std::string(80, 'b'), "x"}};
  EXPECT_EQ(members_of(archive_of(tree, "PAX_FORMAT"), 100), tree);
  EXPECT_EQ(members_of(archive_of(tree, "GNU_FORMAT"), 100), tree);
}

TEST(TarReader, PassesOverLargeFiles) {
  const FileTree tree{{"a", "1"}, {"large", testing::random_bytes(2000)}, {"z", "2"}};
  EXPECT_EQ(members_of(archive_of(tree, "USTAR_FORMAT"), 100, 1999),
            (FileTree{{"a", "1"}, {"z", "2"}}));
}

TEST(TarReader, BringsNothingOfAFileThatWasCut) {
  const std::string archive = archive_of({{"a", "1"}, {"b", "22"}}, "USTAR_FORMAT");
  EXPECT_EQ(members_of(std::string_view(archive).substr(0, 3 * 512 + 1), 100),
            (FileTree{{"a", "1"}}));
}

TEST(TarReader, RefusesWhatIsNoArchive) {
  EXPECT_THROW(members_of(std::string(600, 'x'), 100), Error);
  EXPECT_THROW(members_of("<html>" + std::string(600, ' '), 100), Error);
  std::string damaged = archive_of({{"a", "1"}}, "USTAR_FORMAT");
  damaged[0] = 'b';
  EXPECT_THROW(members_of(damaged, 100), Error);
}

TEST(TarReader, SurvivesAnyDamage) {
  const std::string deep = std::string(120, 'd') + "/" + std::string(60, 'f');
  const std::string archive = archive_of({{"a", "1"}, {deep, "deep"}}, "PAX_FORMAT");
  for (std::size_t i = 0; i < archive.size(); ++i) {
    std::string damaged = archive;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x15);
    try {
      members_of(damaged, 4096);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Protocol);
    }
  }
}

}  // namespace
}  // namespace red
