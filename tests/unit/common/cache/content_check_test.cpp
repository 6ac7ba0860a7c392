#include "common/cache/content_check.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "tests/fakes/fake_store.h"

namespace red {
namespace {

using testing::FakeAnswer;
using testing::FakeRead;
using testing::FakeStore;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr ContentCheck::Limits kAlwaysFirst{UINT64_MAX, 4 * kMiB};
constexpr ContentCheck::Limits kNeverFirst{0, 4 * kMiB};

std::string random_text(std::size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

Checksum sha1_of(const std::string& text) {
  Digest digest(DigestAlgorithm::Sha1);
  digest.update(std::as_bytes(std::span(text)));
  return {DigestAlgorithm::Sha1, digest.hex()};
}

std::string flipped(std::string text, std::size_t at) {
  text[at] = static_cast<char>(text[at] ^ 1);
  return text;
}

struct Result {
  std::string bytes;
  std::optional<Error> error;

  bool is_refused() const { return error && error->kind() == ErrorKind::Integrity; }
};

/// A file that counts how often what is kept of it was called wrong.
class DistrustedFile final : public RemoteFile {
 public:
  DistrustedFile(std::shared_ptr<RemoteFile> file, std::atomic<int>& times)
      : file_(std::move(file)), times_(times) {}
  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    file_->read(range, std::move(sink), context);
  }
  Version version() const override { return file_->version(); }
  void distrust() override { ++times_; }

 private:
  const std::shared_ptr<RemoteFile> file_;
  std::atomic<int>& times_;
};

/// One file of a FakeStore, held to a checksum.
struct CheckedContent {
  explicit CheckedContent(std::uint64_t cache_bytes = 16 * kMiB) : cache(cache_bytes) {}

  void open(const std::string& content, const Checksum& promised, ContentCheck::Limits limits,
            bool size_known = true) {
    store.set_file("f", content);
    const auto size = size_known ? std::optional<std::uint64_t>(content.size()) : std::nullopt;
    file = std::make_shared<CachedFile>(
        std::make_shared<DistrustedFile>(store.open(RemotePath{}.child("f"), Version{{}, {}, size}),
                                         distrusts),
        1, size,
        CachedFile::Environment{cache, timer, std::chrono::seconds(30), true, stop.get_token()},
        CachedFile::Listener{[](const ReadAnswer&) {}, [](const Error&) {}});
    check = std::make_shared<ContentCheck>(promised, size, limits, [this](const Error* error) {
      ++(error == nullptr ? proofs : refutations);
    });
  }

  std::pair<std::future<Result>, std::function<void(const Error&)>> start(ByteRange range) {
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    auto abandon = check->read(file, range, [promise](const Error* error, const ReadBytes& bytes) {
      Result result;
      if (error != nullptr) result.error = *error;
      for (const auto& piece : bytes.pieces) {
        result.bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      }
      promise->set_value(std::move(result));
    });
    return {std::move(future), std::move(abandon)};
  }
  Result read(ByteRange range) { return start(range).first.get(); }

  /// Reads from front to back until an error or the end.
  Result read_through(std::uint64_t size, std::uint64_t step) {
    Result whole;
    for (std::uint64_t at = 0; at < size && !whole.error; at += step) {
      Result part = read({at, std::min(at + step, size)});
      whole.bytes += part.bytes;
      whole.error = part.error;
    }
    return whole;
  }

  std::uint64_t fetched_bytes() const {
    std::uint64_t total = 0;
    for (const FakeRead& request : store.reads())
      total += request.range ? request.range->size() : 0;
    return total;
  }

  BlockCache cache;
  Timer timer;
  std::stop_source stop;
  std::atomic<int> proofs{0};
  std::atomic<int> refutations{0};
  std::atomic<int> distrusts{0};
  FakeStore store;  // destroyed before what its reads refer to
  std::shared_ptr<CachedFile> file;
  std::shared_ptr<ContentCheck> check;
};

class ContentCheckTest : public ::testing::Test, protected CheckedContent {};

TEST_F(ContentCheckTest, DeliversASmallFileThatIsWhatWasPromised) {
  const std::string content = random_text(300 * kKiB + 17);
  open(content, sha1_of(content), kAlwaysFirst);
  EXPECT_EQ(read({100'000, 250'000}).bytes, content.substr(100'000, 150'000));
  EXPECT_EQ(check->state(), ContentCheck::State::Proved);
  EXPECT_EQ(read({0, content.size()}).bytes, content);
  EXPECT_EQ(read({content.size() - 5, content.size() + 100}).bytes,
            content.substr(content.size() - 5));
  EXPECT_EQ(read({content.size(), content.size() + 10}).bytes, "");
  EXPECT_EQ(fetched_bytes(), content.size()) << "each byte is fetched once";
  EXPECT_EQ(proofs, 1);
}

TEST_F(ContentCheckTest, DeliversNotOneByteOfASmallFileThatIsNot) {
  const std::string promised = random_text(300 * kKiB);
  open(flipped(promised, promised.size() - 1), sha1_of(promised), kAlwaysFirst);
  const Result first = read({0, 4096});
  EXPECT_TRUE(first.is_refused());
  EXPECT_EQ(first.bytes, "");
  EXPECT_TRUE(read({100'000, 104'096}).is_refused()) << "for ever";
  EXPECT_EQ(refutations, 1);
  EXPECT_EQ(distrusts, 1);
  ASSERT_TRUE(check->failure());
  EXPECT_NE(check->failure()->message().find("SHA-1"), std::string::npos);
}

TEST_F(ContentCheckTest, DeliversALargeFileAsItComesAndKeepsItsEndBackUntilItIsProved) {
  const std::string content = random_text(3 * kMiB + 1);
  open(content, sha1_of(content), kNeverFirst);
  EXPECT_EQ(read_through(content.size(), 128 * kKiB).bytes, content);
  EXPECT_EQ(check->state(), ContentCheck::State::Proved);
  EXPECT_EQ(fetched_bytes(), content.size());
}

TEST_F(ContentCheckTest, DeliversNotTheEndOfALargeFileThatIsWrongAnywhere) {
  const std::string promised = random_text(3 * kMiB + 1);
  open(flipped(promised, 5), sha1_of(promised), kNeverFirst);
  const Result result = read_through(promised.size(), 128 * kKiB);
  EXPECT_TRUE(result.is_refused());
  EXPECT_LT(result.bytes.size(), promised.size());
  EXPECT_TRUE(read({0, 4096}).is_refused()) << "once it is known, no part is delivered any more";
}

TEST_F(ContentCheckTest, LargeFileIsReadInPartsWithoutFetchingTheRest) {
  const std::string content = random_text(8 * kMiB);
  open(content, sha1_of(content), kNeverFirst);
  EXPECT_EQ(read({5'000'000, 5'004'096}).bytes, content.substr(5'000'000, 4096));
  EXPECT_EQ(read({content.size() - 100, content.size()}).bytes,
            content.substr(content.size() - 100));
  EXPECT_LE(fetched_bytes(), 4 * 64 * kKiB);
  EXPECT_EQ(check->state(), ContentCheck::State::Unproved);
}

TEST_F(ContentCheckTest, WhoReadsFromBackToFrontGetsNoWrongWholeEither) {
  const std::string promised = random_text(2 * kMiB);
  open(flipped(promised, 1'000'000), sha1_of(promised), kNeverFirst);
  std::uint64_t delivered = 0;
  bool is_refused = false;
  for (std::uint64_t end = promised.size(); end > 0; end -= 64 * kKiB) {
    const Result part = read({end - 64 * kKiB, end});
    delivered += part.bytes.size();
    is_refused = is_refused || part.is_refused();
  }
  EXPECT_TRUE(is_refused);
  EXPECT_LT(delivered, promised.size());
}

TEST_F(ContentCheckTest, ReadersAtOnceProveOnce) {
  const std::string content = random_text(5 * kMiB + 3);
  open(content, sha1_of(content), kAlwaysFirst);
  std::vector<std::jthread> readers;
  std::atomic<int> good{0};
  for (unsigned i = 0; i < 16; ++i) {
    readers.emplace_back([&, i] {
      const std::uint64_t at = i * 300'000;
      const Result part = read({at, at + 200'000});
      if (part.bytes == content.substr(at, 200'000)) ++good;
    });
  }
  readers.clear();
  EXPECT_EQ(good, 16);
  EXPECT_EQ(proofs, 1);
  EXPECT_EQ(fetched_bytes(), content.size());
}

TEST_F(ContentCheckTest, ReadersAtOnceAreAllRefused) {
  const std::string promised = random_text(5 * kMiB + 3);
  open(flipped(promised, 4'000'000), sha1_of(promised), kAlwaysFirst);
  std::vector<std::future<Result>> reads;
  for (std::uint64_t i = 0; i < 16; ++i) {
    reads.push_back(start({i * 300'000, i * 300'000 + 200'000}).first);
  }
  for (auto& part : reads) EXPECT_TRUE(part.get().is_refused());
  EXPECT_EQ(refutations, 1);
}

TEST_F(ContentCheckTest, WhatIsFetchedAgainMustBeWhatWasProved) {
  const std::string content = random_text(kMiB);
  open(content, sha1_of(content), kAlwaysFirst);
  EXPECT_EQ(read({0, kMiB}).bytes, content);
  file->drop({0, kMiB});
  store.answer_reads_with([&](const FakeRead& request) {
    FakeAnswer answer;
    if (request.number == 1 + static_cast<int>(store.reads().size()) - 1) {
      answer.content = flipped(content, 70'000);
    }
    return answer;
  });
  const Result damaged = read({65'536, 131'072});
  EXPECT_TRUE(damaged.is_refused());
  EXPECT_EQ(check->state(), ContentCheck::State::Proved) << "it was only that copy";
  EXPECT_EQ(distrusts, 1) << "which may be kept on disk, too";
  store.answer_reads_with([](const FakeRead&) { return FakeAnswer{}; });
  EXPECT_EQ(read({65'536, 131'072}).bytes, content.substr(65'536, 65'536)) << "it is not kept";
}

TEST_F(ContentCheckTest, TwoBytesThatDifferAtOnePlaceRefuteWhatIsNotProvedYet) {
  const std::string content = random_text(4 * kMiB);
  open(content, sha1_of(content), kNeverFirst);
  EXPECT_EQ(read({3 * kMiB, 3 * kMiB + 10}).bytes, content.substr(3 * kMiB, 10));
  file->drop({0, 4 * kMiB});
  store.answer_reads_with([&](const FakeRead&) {
    FakeAnswer answer;
    answer.content = flipped(content, 3 * kMiB);
    return answer;
  });
  EXPECT_TRUE(read({3 * kMiB, 3 * kMiB + 10}).is_refused());
  EXPECT_EQ(check->state(), ContentCheck::State::Refuted);
}

TEST_F(ContentCheckTest, FailureToFetchIsNoVerdict) {
  const std::string content = random_text(2 * kMiB);
  open(content, sha1_of(content), kAlwaysFirst);
  store.answer_reads_with([](const FakeRead& request) {
    FakeAnswer answer;
    if (request.number <= 2) answer.refusal = Error(ErrorKind::Remote, "HTTP 500");
    return answer;
  });
  const Result failed = read({0, 10});
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->kind(), ErrorKind::Remote);
  EXPECT_EQ(check->state(), ContentCheck::State::Unproved);
  store.answer_reads_with([](const FakeRead&) { return FakeAnswer{}; });
  EXPECT_EQ(read({0, 2 * kMiB}).bytes, content);
}

TEST_F(ContentCheckTest, ReadThatIsAbandonedEndsAtOnceAndTheOthersGoOn) {
  const std::string content = random_text(2 * kMiB);
  open(content, sha1_of(content), kAlwaysFirst);
  store.hold_reads();
  auto [abandoned, abandon] = start({0, 10});
  auto other = start({100, 110}).first;
  abandon(Error(ErrorKind::Cancelled, "the reader is gone"));
  const Result result = abandoned.get();
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->kind(), ErrorKind::Cancelled);
  store.release_reads();
  EXPECT_EQ(other.get().bytes, content.substr(100, 10));
}

TEST_F(ContentCheckTest, FetchesNothingMoreWhenNobodyWaits) {
  const std::string content = random_text(8 * kMiB);
  open(content, sha1_of(content), kAlwaysFirst);
  store.hold_reads();
  auto [abandoned, abandon] = start({0, 10});
  abandon(Error(ErrorKind::Cancelled, "the reader is gone"));
  store.release_reads();
  store.wait_until_idle();
  EXPECT_LE(fetched_bytes(), kMiB);
}

TEST_F(ContentCheckTest, StreamOfAServerWithoutRangesIsProvedAsWell) {
  const std::string content = random_text(3 * kMiB + 5);
  for (const bool size_known : {true, false}) {
    store.serve_ranges(false);
    open(content, sha1_of(content), kAlwaysFirst, size_known);
    EXPECT_EQ(read({kMiB, kMiB + 100}).bytes, content.substr(kMiB, 100)) << size_known;
    EXPECT_EQ(read({content.size() - 5, content.size() + 5}).bytes,
              content.substr(content.size() - 5));
    EXPECT_EQ(read({content.size(), content.size() + 5}).bytes, "");
    EXPECT_EQ(check->state(), ContentCheck::State::Proved);
  }
}

TEST_F(ContentCheckTest, StreamOfUnknownSizeThatIsWrongIsRefused) {
  const std::string promised = random_text(kMiB);
  store.serve_ranges(false);
  open(flipped(promised, 3), sha1_of(promised), kNeverFirst, false);
  EXPECT_TRUE(read({0, 10}).is_refused());
}

TEST_F(ContentCheckTest, EmptyFileIsKnownWithoutARead) {
  open("", sha1_of(""), kAlwaysFirst);
  EXPECT_EQ(check->state(), ContentCheck::State::Proved);
  open("", sha1_of("something"), kAlwaysFirst);
  EXPECT_EQ(check->state(), ContentCheck::State::Refuted);
  EXPECT_TRUE(read({0, 10}).is_refused());
  EXPECT_TRUE(store.reads().empty());
}

TEST_F(ContentCheckTest, Md5IsCheckedToo) {
  const std::string content = random_text(100 * kKiB);
  Digest digest(DigestAlgorithm::Md5);
  digest.update(std::as_bytes(std::span(content)));
  open(content, {DigestAlgorithm::Md5, digest.hex()}, kAlwaysFirst);
  EXPECT_EQ(read({0, content.size()}).bytes, content);
}

TEST_F(ContentCheckTest, LetsGoOfMemoryWhenItsReadersHaveGone) {
  const std::string content = random_text(4 * kMiB);
  open(content, sha1_of(content), kNeverFirst);
  read({64 * kKiB, kMiB});  // not the first block: held for the hash
  store.wait_until_idle();  // the store's thread has let go of it
  file->drop({0, 4 * kMiB});
  EXPECT_GT(cache.bytes_in_use(), 0U);
  check->let_go();
  EXPECT_EQ(cache.bytes_in_use(), 0U);
  EXPECT_EQ(read_through(content.size(), 300'000).bytes, content);
}

/// Any size, any order of reads, a cache that forgets, one or no byte wrong: nobody ever has all
/// bytes of a wrong content, and of a right one every read gets what it asked for.
RC_GTEST_PROP(ContentCheckProperty, NobodyEverHasAllOfAWrongContent, ()) {
  const auto size = *rc::gen::inRange<std::uint64_t>(1, 700 * kKiB);
  const bool is_right = *rc::gen::arbitrary<bool>();
  const auto wrong_at = *rc::gen::inRange<std::uint64_t>(0, size);
  const bool proves_first = *rc::gen::arbitrary<bool>();
  const auto offsets =
      *rc::gen::container<std::vector<std::uint64_t>>(40, rc::gen::inRange<std::uint64_t>(0, size));
  const auto length = *rc::gen::inRange<std::uint64_t>(20 * kKiB, 200 * kKiB);

  CheckedContent content(256 * kKiB);
  const std::string promised = random_text(size, static_cast<unsigned>(size));
  content.open(is_right ? promised : flipped(promised, wrong_at), sha1_of(promised),
               proves_first ? kAlwaysFirst : kNeverFirst);
  std::vector<bool> delivered(size, false);
  const auto read = [&](std::uint64_t begin) {
    const std::uint64_t end = std::min(begin + length, size);
    const Result part = content.read({begin, end});
    if (part.error) {
      RC_ASSERT(!is_right);
      RC_ASSERT(part.is_refused());
      return;
    }
    RC_ASSERT(part.bytes.size() == end - begin);
    if (is_right) RC_ASSERT(part.bytes == promised.substr(begin, end - begin));
    std::fill(delivered.begin() + static_cast<std::ptrdiff_t>(begin),
              delivered.begin() + static_cast<std::ptrdiff_t>(end), true);
  };
  for (const std::uint64_t offset : offsets) read(offset);
  for (std::uint64_t begin = 0; begin < size; begin += length) read(begin);
  const bool has_all = std::ranges::all_of(delivered, [](bool yes) { return yes; });
  RC_ASSERT(has_all == is_right);
  RC_ASSERT(!is_right || content.check->state() == ContentCheck::State::Proved);
}

/// The same with many readers at once.
TEST(ContentCheckStress, ManyReadersNeverHaveAllOfAWrongContent) {
  for (unsigned round = 0; round < 20; ++round) {
    const bool is_right = round % 2 == 0;
    CheckedContent content(512 * kKiB);
    const std::string promised = random_text(kMiB + round, round + 1);
    content.open(is_right ? promised : flipped(promised, 7'777 * (round + 1)), sha1_of(promised),
                 round % 4 < 2 ? kNeverFirst : kAlwaysFirst);
    std::vector<std::jthread> readers;
    std::atomic<int> whole{0};
    for (unsigned i = 0; i < 4; ++i) {
      readers.emplace_back([&, i] {
        if (content.read_through(promised.size(), 50'000 + i * 30'000).bytes == promised) ++whole;
      });
    }
    readers.clear();
    EXPECT_EQ(whole, is_right ? 4 : 0) << round;
  }
}

}  // namespace
}  // namespace red
