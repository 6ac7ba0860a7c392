#include "common/json/text_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "common/error.h"

namespace red {
namespace {

namespace fs = std::filesystem;

class TextFile : public ::testing::Test {
 protected:
  TextFile() {
    std::string pattern = (fs::temp_directory_path() / "red_text_file_XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~TextFile() override { fs::remove_all(directory_); }

  fs::path directory_;
};

TEST_F(TextFile, IsReadWhole) {
  const std::string text(200'000, 'x');
  std::ofstream(directory_ / "f") << text;
  EXPECT_EQ(read_text_file(directory_ / "f", text.size()), text);
}

TEST_F(TextFile, MayBeAPipe) {
  ASSERT_EQ(::mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(directory_ / "pipe") << "{}"; });
  EXPECT_EQ(read_text_file(directory_ / "pipe", 10), "{}");
  writer.join();
}

TEST_F(TextFile, LargerThanTheLimitIsRefused) {
  std::ofstream(directory_ / "f") << std::string(11, 'x');
  try {
    read_text_file(directory_ / "f", 10);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    EXPECT_NE(error.message().find("larger than the limit of 10 bytes"), std::string::npos);
  }
}

TEST_F(TextFile, ThatIsMissingOrADirectoryIsALocalError) {
  for (const auto& [path, number] :
       {std::pair{directory_ / "missing", ENOENT}, std::pair{directory_, EISDIR}}) {
    try {
      read_text_file(path, 10);
      FAIL() << "no error for " << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::LocalIo);
      EXPECT_EQ(error.error_number(), number);
    }
  }
}

}  // namespace
}  // namespace red
