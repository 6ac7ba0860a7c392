#include "cli/listing_check.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>

namespace red {
namespace {

/// Knows which files there are, and remembers what it was asked.
class StatStore final : public RemoteStore {
 public:
  explicit StatStore(std::set<std::string> files) : files_(std::move(files)) {}

  std::optional<Entry> stat(const RemotePath& path, const RequestContext&) override {
    const std::lock_guard lock(mutex_);
    asked_.insert(path.text());
    if (path.text() == failing_) throw Error(ErrorKind::Remote, "HTTP 500");
    if (!files_.contains(path.text())) return std::nullopt;
    Entry entry;
    entry.name = path.name();
    return entry;
  }
  std::vector<Entry> list(const RemotePath&, const RequestContext&) override { return {}; }
  std::shared_ptr<RemoteFile> open(const RemotePath&, const Version&) override { return nullptr; }
  bool listings_are_complete() const override { return true; }
  std::string location(const RemotePath& path) const override { return path.text(); }
  void check(Purpose, const RequestContext&) override {}
  Uploader* uploader() override { return nullptr; }
  TreeEditor* editor() override { return nullptr; }
  int parallelism() const override { return 1; }

  std::set<std::string> asked_;
  std::string failing_;

 private:
  std::mutex mutex_;
  const std::set<std::string> files_;
};

ListingEntry file(const std::string& name) {
  ListingEntry entry;
  entry.basename = name;
  return entry;
}

ListingEntry directory(const std::string& name, std::vector<ListingEntry> children) {
  ListingEntry entry = file(name);
  entry.kind = ListingEntry::Kind::Directory;
  entry.children = std::move(children);
  return entry;
}

TEST(ListingCheck, IsContentWhenAllFilesExist) {
  StatStore store({"a", "d/b"});
  check_listed_files(store, {file("a"), directory("d", {file("b")}), directory("e", {})}, {});
  EXPECT_EQ(store.asked_, (std::set<std::string>{"a", "d/b"}));
}

TEST(ListingCheck, NamesEveryMissingFile) {
  StatStore store({"a"});
  try {
    check_listed_files(store, {file("a"), file("x"), directory("d", {file("y")})}, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::NotFound);
    EXPECT_EQ(error.message(),
              "2 files of the listing cannot be received\n"
              "x: no such file on the server\n"
              "d/y: no such file on the server");
  }
}

TEST(ListingCheck, PassesOnOtherErrorsWithTheFile) {
  StatStore store({});
  store.failing_ = "x";
  try {
    check_listed_files(store, {file("x")}, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Remote);
    EXPECT_EQ(error.message(), "x: HTTP 500");
  }
}

TEST(ListingCheck, LooksAtTheFirst64FilesOnly) {
  Listing listing;
  std::set<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    listing.push_back(file(std::to_string(i)));
    names.insert(std::to_string(i));
  }
  StatStore store(names);
  check_listed_files(store, listing, {});
  EXPECT_EQ(store.asked_.size(), 64u);
  EXPECT_TRUE(store.asked_.contains("63"));
}

}  // namespace
}  // namespace red
