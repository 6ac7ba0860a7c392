#include "transfer/byte_pipe.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/support/file_tree.h"

namespace red {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string read_some(BytePipe& pipe, std::size_t most) {
  std::string text(most, '\0');
  text.resize(pipe.read(std::as_writable_bytes(std::span(text))));
  return text;
}

std::string read_all(BytePipe& pipe, std::size_t piece) {
  std::string all;
  for (std::string some; !(some = read_some(pipe, piece)).empty();) all += some;
  return all;
}

TEST(BytePipe, CarriesMoreThanItHoldsInOrder) {
  const std::string content = testing::random_bytes(1'000'000);
  BytePipe pipe(1000);
  std::jthread writer([&] {
    for (std::size_t at = 0; at < content.size(); at += 777) {
      ASSERT_TRUE(pipe.write(bytes_of(content.substr(at, 777))));
    }
    pipe.end_writing(nullptr);
  });
  EXPECT_TRUE(read_all(pipe, 611) == content);
}

TEST(BytePipe, ThrowsWhatTheWriterEndedWithAfterTheBytesBefore) {
  BytePipe pipe(100);
  pipe.write(bytes_of("before"));
  const Error error(ErrorKind::Network, "reset");
  pipe.end_writing(&error);
  EXPECT_EQ(read_some(pipe, 100), "before");
  EXPECT_THROW(read_some(pipe, 100), Error);
}

TEST(BytePipe, LetsAWriterGoThatWaitsForRoom) {
  BytePipe pipe(10);
  std::jthread writer([&] {
    EXPECT_FALSE(pipe.write(bytes_of(std::string(100, 'x'))));
    pipe.end_writing(nullptr);
  });
  EXPECT_EQ(read_some(pipe, 1), "x");  // it is writing
  pipe.close(Error(ErrorKind::Cancelled, "enough"));
  pipe.wait_for_writer();
  EXPECT_THROW(read_some(pipe, 1), Error);
}

TEST(BytePipe, LetsAReaderGoThatWaitsForBytes) {
  BytePipe pipe(10);
  std::jthread closer([&] { pipe.close(Error(ErrorKind::Cancelled, "stopped")); });
  try {
    read_some(pipe, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
}

}  // namespace
}  // namespace red
