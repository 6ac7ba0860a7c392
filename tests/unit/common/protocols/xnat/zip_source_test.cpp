#include "common/protocols/xnat/zip_source.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>

#include "common/error.h"
#include "tests/support/file_tree.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  std::uint64_t size() const override { return text_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::size_t count = std::min(buffer.size(), text_.size() - offset);
    std::memcpy(buffer.data(), text_.data() + offset, count);
    return count;
  }

 private:
  const std::string text_;
};

FileToSend file(std::string_view name, const std::string& content) {
  return {RemotePath().child(name), content.size(),
          [content] { return std::make_unique<TextSource>(content); }};
}

std::uint32_t crc_of(const std::string& content) {
  return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(content.data()),
                                            static_cast<uInt>(content.size())));
}

/// In pieces of a size that fits nothing.
std::string read_all(ZipSource& archive) {
  std::string text;
  std::vector<std::byte> buffer(777);
  while (text.size() < archive.size()) {
    const std::size_t count = archive.read_at(text.size(), buffer);
    if (count == 0) break;
    text.append(reinterpret_cast<const char*>(buffer.data()), count);
  }
  return text;
}

TEST(ZipSource, IsAnArchiveThatOthersRead) {
  const testing::FileTree tree{
      {"a", "1"}, {"\xC3\xA9 +#", testing::random_bytes(100'000)}, {"e", ""}};
  std::vector<FileToSend> files;
  for (const auto& [name, content] : tree) files.push_back(file(name, content));
  std::int64_t sent = 0;
  ZipSource archive([&](std::int64_t bytes) { sent += bytes; });
  for (const FileToSend& each : files) archive.add(each, crc_of(tree.at(each.path.text())));
  archive.finish();
  const testing::TemporaryDirectory directory;
  testing::write_file(directory / "a.zip", read_all(archive));
  EXPECT_EQ(sent, 100'001);
  EXPECT_EQ(archive.sent(), 100'001);
  const auto outcome =
      testing::run({.arguments = {"/usr/bin/python3", "-c",
                                  "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); "
                                  "assert z.testzip() is None; z.extractall(sys.argv[2])",
                                  directory / "a.zip", directory / "out"},
                    .environment = {{"PYTHONUTF8", "1"}}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_EQ(testing::differences(testing::read_tree(directory / "out"), tree), "");
}

TEST(ZipSource, CountsWhatGoesAgainOnce) {
  const FileToSend one = file("a", "12345");
  std::int64_t sent = 0;
  ZipSource archive([&](std::int64_t bytes) { sent += bytes; });
  archive.add(one, crc_of("12345"));
  archive.finish();
  const std::string first = read_all(archive);
  EXPECT_EQ(read_all(archive), first);
  EXPECT_EQ(sent, 5);
}

TEST(ZipSource, RefusesAFileThatHasChanged) {
  FileToSend grown = file("a", "12345");
  grown.size = 4;
  ZipSource archive([](std::int64_t) {});
  archive.add(grown, 0);
  archive.finish();
  EXPECT_THROW(read_all(archive), Error);
}

TEST(ZipSource, DoesNotTakeMoreThanItCanHold) {
  FileToSend large = file("a", "");
  large.size = ZipSource::kMaxBytes;
  ZipSource archive([](std::int64_t) {});
  archive.add(large, 0);
  EXPECT_THROW(archive.add(file("b", "1"), 0), Error);
}

}  // namespace
}  // namespace red
