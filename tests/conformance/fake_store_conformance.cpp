#include <algorithm>

#include "common/cache/disk_cached_store.h"
#include "common/remote/retry.h"
#include "tests/conformance/remote_store_conformance.h"
#include "tests/fakes/fake_store.h"
#include "tests/support/temporary_directory.h"

namespace red::testing {
namespace {

/// A tree in memory.
class FakeTree : public ConformanceServer {
 public:
  void put_file(const std::string& path, std::string_view content) override {
    tree_.set_file(path, std::string(content));
  }
  void put_directory(const std::string& path) override { tree_.make_directory(path); }
  void set_modified(const std::string& path, FileTime modified) override {
    tree_.set_modified(path, modified);
  }
  void set_mode(const std::string&, std::uint32_t) override {}
  void remove(const std::string& path) override { tree_.remove(path); }
  std::optional<std::string> content_of(const std::string& path) const override {
    return tree_.content_of(path);
  }
  std::vector<std::string> names_in(const std::string& directory) const override {
    std::vector<std::string> names;
    for (std::string path : tree_.paths()) {
      if (!path.starts_with(directory + "/")) continue;
      path.erase(0, directory.size() + 1);
      if (path.ends_with('/')) path.pop_back();
      if (!path.empty() && path.find('/') == std::string::npos) names.push_back(path);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::unique_ptr<RemoteStore> open(const std::string& path, Purpose) override {
    return std::make_unique<FakeStore>(tree_, path);
  }
  int contacts() const override {
    int calls = 0;
    for (const auto call : {FakeCall::Stat, FakeCall::List, FakeCall::Read, FakeCall::Check}) {
      calls += tree_.count_of(call);
    }
    return calls;
  }
  void stall() override { tree_.hold_reads(); }
  void go_on() override { tree_.release_reads(); }

  bool has_permissions() const override { return false; }
  bool keeps_attributes() const override { return false; }
  bool has_editor() const override { return false; }
  bool answers_when_stalled() const override { return true; }

 protected:
  FakeStore tree_;
};

/// The same, as the program wraps its stores.
class RetriedFakeTree final : public FakeTree {
 public:
  std::unique_ptr<RemoteStore> open(const std::string& path, Purpose purpose) override {
    return with_retries(FakeTree::open(path, purpose), RetryPolicy::for_commands(), timer_);
  }

 private:
  Timer timer_;
};

/// The same, read through a cache on disk.
class DiskCachedFakeTree final : public FakeTree {
 public:
  std::unique_ptr<RemoteStore> open(const std::string& path, Purpose) override {
    auto store = std::make_unique<FakeStore>(tree_, path);
    store->ask_as(Asker{"somebody"});
    return with_disk_cache(std::move(store),
                           DiskCache::open({.directory = directory_ / "cache", .min_free = 0}));
  }
  bool keeps_what_was_read() const override { return true; }

 private:
  TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(FakeStore, RemoteStoreConformance, ::testing::Values(start<FakeTree>));
INSTANTIATE_TEST_SUITE_P(FakeStore, UploaderConformance, ::testing::Values(start<FakeTree>));
INSTANTIATE_TEST_SUITE_P(RetriedFakeStore, RemoteStoreConformance,
                         ::testing::Values(start<RetriedFakeTree>));
INSTANTIATE_TEST_SUITE_P(RetriedFakeStore, UploaderConformance,
                         ::testing::Values(start<RetriedFakeTree>));
INSTANTIATE_TEST_SUITE_P(DiskCachedFakeStore, RemoteStoreConformance,
                         ::testing::Values(start<DiskCachedFakeTree>));
INSTANTIATE_TEST_SUITE_P(DiskCachedFakeStore, UploaderConformance,
                         ::testing::Values(start<DiskCachedFakeTree>));

}  // namespace
}  // namespace red::testing
