// What lies on the server: stat, list, location, check, and stores that are opened.

#include <algorithm>
#include <set>

#include "common/timer.h"
#include "tests/conformance/remote_store_conformance.h"
#include "tests/fakes/path_of.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;
using namespace std::chrono_literals;

std::vector<std::string> names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.push_back(entry.name);
  return names;
}

const Entry* find(const std::vector<Entry>& entries, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

// --- stat ----------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, AbsenceIsAValue) {
  put("file", "content");
  EXPECT_FALSE(store().stat(path("missing"), soon()));
  EXPECT_FALSE(store().stat(path("missing/below"), soon()));
  EXPECT_FALSE(store().stat(path("file/below"), soon()));
}

TEST_P(RemoteStoreConformance, AFileShowsItsNameKindSizeAndTime) {
  put("file", "0123456789");
  server().set_modified(on_server("file"), kLongAgo);
  const auto entry = store().stat(path("file"), soon());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "file");
  EXPECT_EQ(entry->kind, EntryKind::File);
  EXPECT_EQ(entry->size, 10u);
  EXPECT_EQ(entry->modified, kLongAgo);
  EXPECT_TRUE(entry->modified_is_exact);
}

TEST_P(RemoteStoreConformance, ADirectoryShowsItsNameAndKind) {
  put_directory("directory");
  const auto entry = store().stat(path("directory"), soon());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "directory");
  EXPECT_EQ(entry->kind, EntryKind::Directory);
}

TEST_P(RemoteStoreConformance, PermissionBitsAreToldWhereThereAreAny) {
  put("file", "content");
  if (server().has_permissions()) server().set_mode(on_server("file"), 0640);
  const auto expected =
      server().has_permissions() ? std::optional<std::uint32_t>(0640) : std::nullopt;
  EXPECT_EQ(store().stat(path("file"), soon()).value().mode, expected);
  const auto entries = store().list(path(), soon());
  ASSERT_NE(find(entries, "file"), nullptr);
  EXPECT_EQ(find(entries, "file")->mode, expected);
  const Sink sink = start_read(*store().open(path("file"), {}), {});
  EXPECT_EQ(bytes_of(sink), "content");
  EXPECT_EQ(sink->answers().front().mode, expected);
}

TEST_P(RemoteStoreConformance, TheRootIsWhatTheStoreWasOpenedAt) {
  put("directory/file", "content");
  const bool is_top = !server().opens_any_directory();
  const auto tree =
      is_top ? open_another(Purpose::ReceiveDir) : open("directory", Purpose::ReceiveDir);
  const auto directory = tree->stat({}, soon());
  ASSERT_TRUE(directory);
  EXPECT_EQ(directory->kind, EntryKind::Directory);
  EXPECT_EQ(directory->name, "");
  const RemotePath above = is_top ? path("directory") : RemotePath{};
  EXPECT_EQ(names_of(tree->list(above, soon())), std::vector<std::string>{"file"});
  EXPECT_EQ(read(*tree->open(above.child("file"), {})), "content");

  const auto single = open("directory/file", Purpose::ReceiveFile);
  const auto file = single->stat({}, soon());
  ASSERT_TRUE(file);
  EXPECT_EQ(file->kind, EntryKind::File);
  EXPECT_EQ(file->name, "");
  EXPECT_EQ(file->size, 7u);
  EXPECT_EQ(read(*single->open({}, {})), "content");
}

// --- list ----------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, EveryNameIsKeptByteForByte) {
  std::vector<std::string> shown;
  for (const std::string& name : hard_names()) {
    put(name, "content of " + name);
    if (server().lists(name)) shown.push_back(name);
  }
  const auto entries = store().list(path(), soon());
  EXPECT_THAT(names_of(entries), UnorderedElementsAreArray(shown));
  for (const std::string& name : hard_names()) {
    if (!server().serves(name)) continue;
    const auto entry = store().stat(path(name), soon());
    ASSERT_TRUE(entry) << name;
    EXPECT_EQ(entry->name, name);
    EXPECT_EQ(entry->size, name.size() + 11) << name;
    EXPECT_EQ(read(name), "content of " + name);
  }
}

TEST_P(RemoteStoreConformance, DirectoriesOfEveryNameAreEntered) {
  for (const std::string& name : hard_names()) {
    if (!server().serves(name)) continue;
    put(name + "/inner", "inner");
    look_again();
    const auto entries = store().list(path(name), soon());
    EXPECT_EQ(names_of(entries), std::vector<std::string>{"inner"}) << name;
    EXPECT_EQ(read(name + "/inner"), "inner");
  }
  for (const Entry& entry : store().list(path(), soon())) {
    EXPECT_EQ(entry.kind, EntryKind::Directory) << entry.name;
  }
}

TEST_P(RemoteStoreConformance, AListingThatIsCompleteHidesNothing) {
  for (const std::string& name : dot_names()) put(name, "hidden");
  const std::vector<std::string> names = names_of(store().list(path(), soon()));
  for (const std::string& name : dot_names()) {
    const bool is_listed = std::find(names.begin(), names.end(), name) != names.end();
    EXPECT_TRUE(is_listed || !store().listings_are_complete()) << name;
    EXPECT_EQ(is_listed, server().lists(name)) << name;
    EXPECT_TRUE(store().stat(path(name), soon())) << name;
  }
}

TEST_P(RemoteStoreConformance, AListingTellsWhatStatTells) {
  put("empty", "");
  put("file", std::string(70'000, 'x'));
  put_directory("directory");
  for (const char* name : {"empty", "file"}) {
    server().set_modified(on_server(name), kLongAgo);
    const auto entries = store().list(path(), soon());
    const Entry* listed = find(entries, name);
    const auto found = store().stat(path(name), soon());
    ASSERT_TRUE(listed && found) << name;
    EXPECT_EQ(listed->kind, found->kind) << name;
    EXPECT_TRUE(listed->version().may_equal(found->version())) << name;
    EXPECT_TRUE(listed->size) << name;
    if (listed->size != 0u || server().tells_empty_sizes()) {
      EXPECT_EQ(found->size, listed->size);
    }
    EXPECT_EQ(listed->modified.has_value(), server().lists_times()) << name;
    if (!server().lists_times()) continue;
    EXPECT_EQ(listed->modified_is_exact, server().lists_times_to_the_second()) << name;
    EXPECT_LE(std::chrono::abs(*listed->modified - kLongAgo), listed->modified_is_exact ? 0s : 60s)
        << name;
  }
  const auto entries = store().list(path(), soon());
  ASSERT_NE(find(entries, "directory"), nullptr);
  EXPECT_EQ(find(entries, "directory")->kind, EntryKind::Directory);
}

TEST_P(RemoteStoreConformance, AnEmptyDirectoryHasNoEntries) {
  const auto list = [&] { return store().list(path(), soon()); };
  if (server().keeps_directories()) {
    EXPECT_THAT(list(), IsEmpty());
  } else {
    EXPECT_EQ(error_of(list).kind(), ErrorKind::NotFound);
  }
}

TEST_P(RemoteStoreConformance, ALongListingIsCompleteAndWithoutDuplicates) {
  constexpr int kFiles = 1'200;  // several answers of an SFTP server
  std::vector<std::string> expected;
  for (int i = 0; i < kFiles; ++i) {
    expected.push_back("file number " + std::to_string(i));
    put(expected.back(), "");
  }
  std::vector<std::string> names = names_of(store().list(path(), soon()));
  std::sort(names.begin(), names.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names, expected);
}

TEST_P(RemoteStoreConformance, AListingShowsWhatHasChanged) {
  put("going", "content");
  EXPECT_EQ(names_of(store().list(path(), soon())), std::vector<std::string>{"going"});
  server().remove(on_server("going"));
  put("coming", "content");
  look_again();
  EXPECT_EQ(names_of(store().list(path(), soon())), std::vector<std::string>{"coming"});
  EXPECT_FALSE(store().stat(path("going"), soon()));
  EXPECT_TRUE(store().stat(path("coming"), soon()));
}

TEST_P(RemoteStoreConformance, OnlyDirectoriesThatExistAreListed) {
  put("file", "content");
  const Error missing = error_of([&] { store().list(path("missing"), soon()); });
  EXPECT_EQ(missing.kind(), ErrorKind::NotFound) << missing.message();
  const Error file = error_of([&] { store().list(path("file"), soon()); });
  EXPECT_THAT(file.kind(), AnyOf(ErrorKind::NotFound, ErrorKind::Unsupported, ErrorKind::Remote))
      << file.message();
}

// --- Versions ------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, AnotherContentIsAnotherVersion) {
  put("file", "one");
  server().set_modified(on_server("file"), kLongAgo);
  const Version first = store().stat(path("file"), soon()).value().version();
  EXPECT_TRUE(first.is_validator());
  EXPECT_TRUE(first.may_equal(store().stat(path("file"), soon()).value().version()));
  put("file", "two");
  server().set_modified(on_server("file"), kLongAgo + 1s);
  EXPECT_FALSE(first.may_equal(store().stat(path("file"), soon()).value().version()));
  put("file", "longer");
  server().set_modified(on_server("file"), kLongAgo);
  EXPECT_FALSE(first.may_equal(store().stat(path("file"), soon()).value().version()));
}

// --- The store itself ----------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, OpeningReachesOutForNothing) {
  put("file", "content");
  const int contacts = server().contacts();
  const auto opened = open_another(Purpose::MountDir);
  const Version known{"\"tag\"", kLongAgo, 42};
  const auto file = opened->open(path("file"), known);
  const auto missing = opened->open(path("missing"), {});
  EXPECT_EQ(file->version().size, 42u);
  EXPECT_EQ(file->version().modified, kLongAgo);
  EXPECT_FALSE(missing->version().is_validator());
  EXPECT_EQ(server().contacts(), contacts);
  EXPECT_TRUE(opened->stat(path("file"), soon()));
  EXPECT_GT(server().contacts(), contacts);
}

TEST_P(RemoteStoreConformance, ItTakesAtLeastOneAtATime) { EXPECT_GE(store().parallelism(), 1); }

TEST_P(RemoteStoreConformance, LocationsTellThePathAndNoSecret) {
  const std::string location = store().location(path("directory/name"));
  EXPECT_THAT(location, HasSubstr(on_server("directory/name")));
  expect_no_secret(location);
  expect_no_secret(store().location({}));
  expect_no_secret(open("file", Purpose::ReceiveFile)->location({}));
}

TEST_P(RemoteStoreConformance, WhatItCanIsDeclaredAndTested) {
  const std::string suite = ::testing::UnitTest::GetInstance()->current_test_suite()->name();
  const std::string instance = suite.substr(0, suite.find('/') + 1);
  std::set<std::string> suites;
  for (int i = 0; i < ::testing::UnitTest::GetInstance()->total_test_suite_count(); ++i) {
    suites.insert(::testing::UnitTest::GetInstance()->GetTestSuite(i)->name());
  }
  EXPECT_EQ(suites.contains(instance + "UploaderConformance"), server().takes_uploads());
  EXPECT_EQ(suites.contains(instance + "TreeEditorConformance"), server().has_editor());
  EXPECT_EQ(store().editor() != nullptr, server().has_editor());
  EXPECT_TRUE(store().uploader() != nullptr || !server().takes_uploads());
}

TEST_P(RemoteStoreConformance, AServerThatTakesNoUploadsSaysSo) {
  if (server().takes_uploads() || store().uploader() == nullptr) return;
  const Error error = error_of([&] { send("file", "content"); });
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << error.message();
  EXPECT_THAT(names_in(), IsEmpty());
}

// --- check ---------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, ChecksPassWhereThePurposeCanBeServed) {
  put("directory/file", "content");
  EXPECT_NO_THROW(
      open("directory/file", Purpose::ReceiveFile)->check(Purpose::ReceiveFile, soon()));
  for (const char* name : {"directory/file", "directory/new"}) {
    EXPECT_NO_THROW(open(name, Purpose::SendFile)->check(Purpose::SendFile, soon())) << name;
  }
  for (const Purpose purpose : {Purpose::ReceiveDir, Purpose::MountDir, Purpose::SendDir}) {
    EXPECT_NO_THROW(open_another(purpose)->check(purpose, soon()));
    if (!server().opens_any_directory()) continue;
    EXPECT_NO_THROW(open("directory", purpose)->check(purpose, soon()));
  }
  if (server().opens_any_directory()) {
    EXPECT_NO_THROW(open("new", Purpose::SendDir)->check(Purpose::SendDir, soon()));
  }
}

TEST_P(RemoteStoreConformance, ChecksChangeNothing) {
  put("directory/file", "content");
  open("directory/new", Purpose::SendFile)->check(Purpose::SendFile, soon());
  open("directory/file", Purpose::SendFile)->check(Purpose::SendFile, soon());
  const auto directory = server().opens_any_directory() ? open("new/below", Purpose::SendDir)
                                                        : open_another(Purpose::SendDir);
  directory->check(Purpose::SendDir, soon());
  EXPECT_EQ(names_in(), std::vector<std::string>{"directory"});
  EXPECT_EQ(names_in("directory"), std::vector<std::string>{"file"});
  EXPECT_EQ(content_of("directory/file"), "content");
}

TEST_P(RemoteStoreConformance, ChecksTellWhatIsMissing) {
  for (const Purpose purpose : {Purpose::ReceiveFile, Purpose::ReceiveDir}) {
    if (purpose == Purpose::ReceiveDir && !server().opens_any_directory()) return;
    const auto opened = open("missing", purpose);
    const Error error = error_of([&] { opened->check(purpose, soon()); });
    EXPECT_EQ(error.kind(), ErrorKind::NotFound) << error.message();
  }
  const auto mounted = open("missing", Purpose::MountDir);
  if (server().has_editor()) {
    // It would be made.
    EXPECT_NO_THROW(mounted->check(Purpose::MountDir, soon()));
  } else {
    EXPECT_EQ(error_of([&] { mounted->check(Purpose::MountDir, soon()); }).kind(),
              ErrorKind::NotFound);
  }
}

TEST_P(RemoteStoreConformance, ChecksTellFilesFromDirectories) {
  put("directory/file", "content");
  for (const Purpose purpose : {Purpose::ReceiveDir, Purpose::MountDir}) {
    if (!server().opens_any_directory()) break;
    const auto opened = open("directory/file", purpose);
    const Error error = error_of([&] { opened->check(purpose, soon()); });
    EXPECT_THAT(error.kind(), AnyOf(ErrorKind::Unsupported, ErrorKind::NotFound))
        << error.message();
  }
  const auto opened = open("directory", Purpose::ReceiveFile);
  if (server().tells_directories_from_files()) {
    const Error error = error_of([&] { opened->check(Purpose::ReceiveFile, soon()); });
    EXPECT_THAT(error.kind(), server().keeps_directories()
                                  ? AnyOf(ErrorKind::Unsupported, ErrorKind::PermissionDenied)
                                  : AnyOf(ErrorKind::NotFound, ErrorKind::Unsupported))
        << error.message();
  } else {
    EXPECT_NO_THROW(opened->check(Purpose::ReceiveFile, soon()));
  }
}

// --- Contexts ------------------------------------------------------------------------------------

TEST_P(RemoteStoreConformance, BlockingCallsEndWhenTheyAreStopped) {
  put("file", "content");
  EXPECT_EQ(error_of([&] { store().stat(path("file"), stopped()); }).kind(), ErrorKind::Cancelled);
  EXPECT_EQ(error_of([&] { store().list(path(), stopped()); }).kind(), ErrorKind::Cancelled);
  const auto opened = open_another(Purpose::ReceiveDir);
  EXPECT_EQ(error_of([&] { opened->check(Purpose::ReceiveDir, stopped()); }).kind(),
            ErrorKind::Cancelled);
}

TEST_P(RemoteStoreConformance, BlockingCallsEndAtTheirDeadline) {
  put("file", "content");
  EXPECT_EQ(error_of([&] { store().stat(path("file"), too_late()); }).kind(), ErrorKind::TimedOut);
  EXPECT_EQ(error_of([&] { store().list(path(), too_late()); }).kind(), ErrorKind::TimedOut);
  const auto opened = open_another(Purpose::ReceiveDir);
  EXPECT_EQ(error_of([&] { opened->check(Purpose::ReceiveDir, too_late()); }).kind(),
            ErrorKind::TimedOut);
}

TEST_P(RemoteStoreConformance, AStalledServerIsWaitedForUntilTheDeadlineOrTheStop) {
  put("file", "content");
  const RemotePath file = path("file");
  const auto opened = open_another(Purpose::MountDir);
  EXPECT_TRUE(opened->stat(file, soon()));
  const Stall stall(server());
  if (server().answers_when_stalled()) {
    EXPECT_TRUE(opened->stat(file, soon()));
    return;
  }
  EXPECT_EQ(error_of([&] { opened->stat(file, RequestContext::within(150ms)); }).kind(),
            ErrorKind::TimedOut);
  EXPECT_EQ(error_of([&] { opened->list(path(), RequestContext::within(150ms)); }).kind(),
            ErrorKind::TimedOut);
  std::stop_source stop;
  Timer timer;
  timer.at(std::chrono::steady_clock::now() + 100ms, [&] { stop.request_stop(); });
  EXPECT_EQ(
      error_of([&] { opened->stat(file, RequestContext::within(30s, stop.get_token())); }).kind(),
      ErrorKind::Cancelled);
}

}  // namespace
}  // namespace red::testing
