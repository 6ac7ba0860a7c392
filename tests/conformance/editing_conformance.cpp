// TreeEditor and WritableFile: changes to a tree.

#include <cerrno>
#include <future>

#include "tests/conformance/remote_store_conformance.h"
#include "tests/fakes/path_of.h"
#include "tests/support/file_tree.h"

namespace red::testing {
namespace {

using ::testing::IsEmpty;
using namespace std::chrono_literals;

using Names = std::vector<std::string>;

constexpr WriteMode kExisting{};
constexpr WriteMode kNew{.create = true, .exclusive = true};

// --- Opening for writing -------------------------------------------------------------------------

TEST_P(TreeEditorConformance, AFileIsMadeWrittenAndRead) {
  const auto file = editor().open_for_writing(path("file"), {.create = true, .mode = 0640}, soon());
  EXPECT_EQ(content_of("file"), "");
  EXPECT_EQ(write(*file, 0, "0123456789"), std::nullopt);
  EXPECT_EQ(read_back(*file, {2, 5}), "234");
  EXPECT_EQ(read_back(*file, {8, 100}), "89");
  EXPECT_EQ(write(*file, 4, "four"), std::nullopt);
  EXPECT_EQ(close(*file), std::nullopt);
  EXPECT_EQ(content_of("file"), "0123four89");
  EXPECT_EQ(store().stat(path("file"), soon()).value().mode, 0640u);
}

TEST_P(TreeEditorConformance, WritesInFlightMayComeInAnyOrder) {
  constexpr std::size_t kPiece = 50'000;
  const std::string content = random_bytes(40 * kPiece);
  const auto bytes = std::make_shared<std::string>(content);
  const auto file = editor().open_for_writing(path("file"), kNew, soon());
  std::vector<Completion> writes;
  for (std::size_t begin = content.size(); begin > 0;) {
    begin -= kPiece;
    writes.push_back(new_completion());
    file->write(begin, std::as_bytes(std::span(*bytes)).subspan(begin, kPiece), bytes, soon(),
                writes.back().done());
  }
  for (const Completion& done : writes) EXPECT_EQ(done.wait(), std::nullopt);
  EXPECT_TRUE(content_of("file") == content);
  EXPECT_TRUE(read_back(*file, {0, content.size()}) == content);
  EXPECT_EQ(close(*file), std::nullopt);
}

TEST_P(TreeEditorConformance, OpeningTakesTheFlagsOfOpen) {
  put("file", "content");
  const auto open_as = [&](std::string_view name, const WriteMode& mode) {
    return error_of([&] { close(*editor().open_for_writing(path(name), mode, soon())); }).kind();
  };
  EXPECT_EQ(open_as("missing", kExisting), ErrorKind::NotFound);
  EXPECT_EQ(open_as("missing/below", kNew), ErrorKind::NotFound);
  EXPECT_EQ(open_as("file", kNew), ErrorKind::AlreadyExists);
  EXPECT_EQ(content_of("file"), "content");
  EXPECT_EQ(names_in(), Names{"file"});

  EXPECT_EQ(close(*editor().open_for_writing(path("file"), {.create = true}, soon())),
            std::nullopt);
  EXPECT_EQ(content_of("file"), "content");
  const auto kept = editor().open_for_writing(path("file"), {.read_only = true}, soon());
  EXPECT_EQ(read_back(*kept, {0, 100}), "content");
  EXPECT_EQ(close(*kept), std::nullopt);
  EXPECT_EQ(close(*editor().open_for_writing(path("file"), {.truncate = true}, soon())),
            std::nullopt);
  EXPECT_EQ(content_of("file"), "");
  EXPECT_EQ(close(*editor().open_for_writing(path("new"), kNew, soon())), std::nullopt);
  EXPECT_EQ(content_of("new"), "");
}

TEST_P(TreeEditorConformance, ADirectoryIsNotOpenedForWriting) {
  server().put_directory(on_server("directory"));
  const Error error = error_of([&] {
    const auto file = editor().open_for_writing(path("directory"), {.create = true}, soon());
    if (const auto failure = write(*file, 0, "text")) throw Error(*failure);
  });
  EXPECT_FALSE(error.retryable()) << error.message();
  EXPECT_NE(error.kind(), ErrorKind::Internal) << error.message();
}

// --- What is open --------------------------------------------------------------------------------

TEST_P(TreeEditorConformance, AnOpenFileTellsAndTakesItsAttributes) {
  put("file", "0123456789");
  const auto file = editor().open_for_writing(path("file"), kExisting, soon());
  const auto change = [&](const FileChange& what) {
    const Completion changed = new_completion();
    file->change(what, soon(), changed.done());
    return changed.wait();
  };
  EXPECT_EQ(change({.size = 4}), std::nullopt);
  EXPECT_EQ(content_of("file"), "0123");
  EXPECT_EQ(change({.size = 6}), std::nullopt);
  EXPECT_EQ(content_of("file"), std::string("0123\0\0", 6));
  EXPECT_EQ(change({.mode = 0600}), std::nullopt);
  EXPECT_EQ(change({.modified = kLongAgo}), std::nullopt);
  const Completion told = new_completion();
  auto entry = std::make_shared<Entry>();
  file->stat(soon(), [entry, done = told.done()](const Error* error, const Entry& found) {
    *entry = found;
    done(error);
  });
  EXPECT_EQ(told.wait(), std::nullopt);
  EXPECT_EQ(entry->size, 6u);
  EXPECT_EQ(entry->modified, kLongAgo);
  EXPECT_EQ(entry->mode, 0600u);
  EXPECT_EQ(store().stat(path("file"), soon()).value().modified, kLongAgo);
  EXPECT_EQ(close(*file), std::nullopt);
}

TEST_P(TreeEditorConformance, ChangesInOrderComeAfterTheWritesInFlight) {
  const auto file = editor().open_for_writing(path("file"), kNew, soon());
  if (!file->changes_in_order()) return;
  const auto bytes = std::make_shared<std::string>(1 << 20, 'x');
  const Completion written = new_completion();
  const Completion changed = new_completion();
  file->write(0, std::as_bytes(std::span(*bytes)), bytes, soon(), written.done());
  file->change({.size = 10, .modified = kLongAgo}, soon(), changed.done());
  EXPECT_EQ(written.wait(), std::nullopt);
  EXPECT_EQ(changed.wait(), std::nullopt);
  EXPECT_EQ(content_of("file"), std::string(10, 'x'));
  EXPECT_EQ(store().stat(path("file"), soon()).value().modified, kLongAgo);
  EXPECT_EQ(close(*file), std::nullopt);
}

TEST_P(TreeEditorConformance, SyncEndsAfterWhatWasAcknowledged) {
  const auto file = editor().open_for_writing(path("file"), kNew, soon());
  EXPECT_EQ(write(*file, 0, "content"), std::nullopt);
  const Completion synced = new_completion();
  file->sync(soon(), synced.done());
  EXPECT_EQ(synced.wait(), std::nullopt);
  EXPECT_EQ(content_of("file"), "content");
  EXPECT_EQ(close(*file), std::nullopt);
}

TEST_P(TreeEditorConformance, AClosedFileIsOpenedAnewWhenItIsUsed) {
  const auto file = editor().open_for_writing(path("file"), kNew, soon());
  EXPECT_EQ(write(*file, 0, "first"), std::nullopt);
  EXPECT_EQ(close(*file), std::nullopt);
  EXPECT_EQ(write(*file, 5, " and second"), std::nullopt);
  EXPECT_EQ(read_back(*file, {0, 100}), "first and second");
  EXPECT_EQ(close(*file), std::nullopt);
  EXPECT_EQ(close(*file), std::nullopt);
  EXPECT_EQ(content_of("file"), "first and second");
}

TEST_P(TreeEditorConformance, AFileThatHasLostItsNameIsUsedWhileItIsOpen) {
  put("file", "old");
  const auto file = editor().open_for_writing(path("file"), kExisting, soon());
  EXPECT_EQ(read_back(*file, {0, 100}), "old");
  file->forget_name();
  editor().remove(path("file"), soon());
  put("file", "another");
  EXPECT_EQ(write(*file, 3, " and gone"), std::nullopt);
  EXPECT_EQ(read_back(*file, {0, 100}), "old and gone");
  EXPECT_EQ(close(*file), std::nullopt);
  // Nothing is open any more, and what has the name now is not it.
  EXPECT_EQ(write(*file, 0, "lost").value().kind(), ErrorKind::NotFound);
  EXPECT_EQ(content_of("file"), "another");
}

TEST_P(TreeEditorConformance, CallsOnAnOpenFileEndWhenStoppedOrLate) {
  const auto file = editor().open_for_writing(path("file"), kNew, soon());
  const auto bytes = std::make_shared<std::string>("content");
  for (const auto& [context, kind] :
       {std::pair(stopped(), ErrorKind::Cancelled), std::pair(too_late(), ErrorKind::TimedOut)}) {
    const Completion written = new_completion();
    file->write(0, std::as_bytes(std::span(*bytes)), bytes, context, written.done());
    const Completion changed = new_completion();
    file->change({.size = 3}, context, changed.done());
    for (const Completion& ended : {written, changed}) {
      const auto error = ended.wait();
      ASSERT_TRUE(error);
      EXPECT_EQ(error->kind(), kind) << error->message();
    }
  }
  EXPECT_EQ(close(*file), std::nullopt);
}

TEST_P(TreeEditorConformance, AStalledServerHoldsNoCallBeyondItsDeadlineOrStop) {
  put("file", "content");
  const auto opened = open_another(Purpose::MountDir);
  const auto file = opened->editor()->open_for_writing(path("file"), kExisting, soon());
  const auto bytes = std::make_shared<std::string>("text");
  for (const bool is_open : {true, false}) {
    if (!is_open) close(*file);
    const Stall stall(server());
    const TimePoint start = std::chrono::steady_clock::now();
    std::stop_source stop;
    const Completion late = new_completion();
    const Completion called_off = new_completion();
    file->write(0, std::as_bytes(std::span(*bytes)), bytes, RequestContext::within(150ms),
                late.done());
    file->sync(RequestContext::within(60s, stop.get_token()), called_off.done());
    EXPECT_EQ(late.wait().value().kind(), ErrorKind::TimedOut);
    EXPECT_EQ(called_off.calls(), 0);
    stop.request_stop();
    EXPECT_EQ(called_off.wait().value().kind(), ErrorKind::Cancelled);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 15s);
  }
  EXPECT_EQ(close(*file), std::nullopt);
}

// --- Files by their paths ------------------------------------------------------------------------

TEST_P(TreeEditorConformance, AttributesAreChangedByPath) {
  put("file", "0123456789");
  editor().change(path("file"), {.size = 4}, soon());
  EXPECT_EQ(content_of("file"), "0123");
  editor().change(path("file"), {.mode = 0604, .modified = kLongAgo, .accessed = kLongAgo}, soon());
  const auto entry = store().stat(path("file"), soon());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->mode, 0604u);
  EXPECT_EQ(entry->modified, kLongAgo);
  EXPECT_EQ(entry->size, 4u);
  editor().change(path("file"), {.accessed = kLongAgo + 10s}, soon());
  EXPECT_EQ(store().stat(path("file"), soon()).value().modified, kLongAgo);
  editor().change(path("file"), {.modified = kLongAgo + 20s}, soon());
  EXPECT_EQ(store().stat(path("file"), soon()).value().modified, kLongAgo + 20s);
  EXPECT_EQ(error_of([&] { editor().change(path("missing"), {.mode = 0600}, soon()); }).kind(),
            ErrorKind::NotFound);
}

TEST_P(TreeEditorConformance, FilesAreRemoved) {
  put("file", "content");
  put("directory/file", "content");
  editor().remove(path("file"), soon());
  EXPECT_FALSE(store().stat(path("file"), soon()));
  EXPECT_EQ(error_of([&] { editor().remove(path("file"), soon()); }).kind(), ErrorKind::NotFound);
  const Error error = error_of([&] { editor().remove(path("directory"), soon()); });
  EXPECT_FALSE(error.retryable()) << error.message();
  EXPECT_NE(error.kind(), ErrorKind::Internal) << error.message();
  EXPECT_EQ(content_of("directory/file"), "content");
  EXPECT_EQ(names_in(), Names{"directory"});
}

TEST_P(TreeEditorConformance, EveryNameIsMadeMovedAndRemoved) {
  for (const std::string& name : hard_names()) {
    if (!server().serves(name)) continue;
    EXPECT_EQ(close(*editor().open_for_writing(path(name), kNew, soon())), std::nullopt) << name;
    EXPECT_EQ(names_in(), Names{name});
    editor().rename(path(name), path("moved"), false, soon());
    editor().make_directory(path(name), 0755, soon());
    editor().rename(path("moved"), path(name + "/moved"), false, soon());
    EXPECT_EQ(names_in(name), Names{"moved"}) << name;
    editor().remove(path(name + "/moved"), soon());
    editor().remove_directory(path(name), soon());
    EXPECT_THAT(names_in(), IsEmpty()) << name;
  }
}

// --- Directories ---------------------------------------------------------------------------------

TEST_P(TreeEditorConformance, DirectoriesAreMadeOnce) {
  put("file", "content");
  editor().make_directory(path("directory"), 0750, soon());
  const auto entry = store().stat(path("directory"), soon());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->kind, EntryKind::Directory);
  EXPECT_EQ(entry->mode, 0750u);
  for (const char* name : {"directory", "file"}) {
    const Error error = error_of([&] { editor().make_directory(path(name), 0755, soon()); });
    EXPECT_EQ(error.kind(), ErrorKind::AlreadyExists) << error.message();
  }
  const Error error = error_of([&] { editor().make_directory(path("no/where"), 0755, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::NotFound) << error.message();
}

TEST_P(TreeEditorConformance, OnlyEmptyDirectoriesAreRemoved) {
  put("full/file", "content");
  put("file", "content");
  server().put_directory(on_server("empty"));
  editor().remove_directory(path("empty"), soon());
  EXPECT_EQ(error_of([&] { editor().remove_directory(path("empty"), soon()); }).kind(),
            ErrorKind::NotFound);
  const Error full = error_of([&] { editor().remove_directory(path("full"), soon()); });
  EXPECT_EQ(full.error_number(), ENOTEMPTY) << full.message();
  const Error file = error_of([&] { editor().remove_directory(path("file"), soon()); });
  EXPECT_FALSE(file.retryable()) << file.message();
  EXPECT_NE(file.kind(), ErrorKind::Internal) << file.message();
  EXPECT_EQ(names_in(), (Names{"file", "full"}));
  EXPECT_EQ(content_of("full/file"), "content");
}

// --- Renaming ------------------------------------------------------------------------------------

TEST_P(TreeEditorConformance, FilesAndDirectoriesAreMoved) {
  put("file", "content");
  put("directory/inner/file", "inner");
  server().put_directory(on_server("other"));
  for (const bool replace : {false, true}) {
    editor().rename(path("file"), path("other/moved"), replace, soon());
    EXPECT_EQ(content_of("other/moved"), "content");
    editor().rename(path("directory"), path("other/directory"), replace, soon());
    EXPECT_EQ(content_of("other/directory/inner/file"), "inner");
    EXPECT_EQ(names_in(), Names{"other"});
    editor().rename(path("other/moved"), path("file"), replace, soon());
    editor().rename(path("other/directory"), path("directory"), replace, soon());
  }
  for (const bool replace : {false, true}) {
    const Error error =
        error_of([&] { editor().rename(path("missing"), path("new"), replace, soon()); });
    EXPECT_EQ(error.kind(), ErrorKind::NotFound) << error.message();
  }
}

TEST_P(TreeEditorConformance, ARenamedFileReplacesWhatHasItsNewNameIfItMay) {
  put("old", "old content");
  put("new", "new content");
  const auto rename = [&](bool replace) {
    editor().rename(path("old"), path("new"), replace, soon());
  };
  if (server().can_spare_the_target()) {
    const Error error = error_of([&] { rename(false); });
    EXPECT_EQ(error.kind(), ErrorKind::AlreadyExists) << error.message();
    EXPECT_EQ(content_of("new"), "new content");
    EXPECT_EQ(content_of("old"), "old content");
    rename(true);
  } else {
    rename(false);
  }
  EXPECT_EQ(content_of("new"), "old content");
  EXPECT_EQ(names_in(), Names{"new"});
}

TEST_P(TreeEditorConformance, ADirectoryReplacesOnlyAnEmptyOne) {
  put("directory/file", "content");
  put("full/inner", "inner");
  server().put_directory(on_server("empty"));
  const Error full =
      error_of([&] { editor().rename(path("directory"), path("full"), true, soon()); });
  EXPECT_EQ(full.error_number(), ENOTEMPTY) << full.message();
  EXPECT_EQ(content_of("full/inner"), "inner");
  editor().rename(path("directory"), path("empty"), true, soon());
  EXPECT_EQ(content_of("empty/file"), "content");
  EXPECT_EQ(names_in(), (Names{"empty", "full"}));
}

// --- Links and space -----------------------------------------------------------------------------

TEST_P(TreeEditorConformance, SymbolicLinksAreMadeAndShown) {
  put("directory/file", "content");
  const auto make = [&](const char* name, const char* target) {
    editor().make_symlink(path(name), target, soon());
  };
  make("link", "directory/file");
  make("directory/up", "..");
  const auto link = store().stat(path("link"), soon());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->kind, EntryKind::Symlink);
  EXPECT_EQ(link->link_target, "directory/file");
  EXPECT_EQ(content_of("link"), "content");
  const auto entries = store().list(path("directory"), soon());
  ASSERT_EQ(entries.size(), 2u);
  const Entry& up = entries[entries[0].name == "up" ? 0 : 1];
  EXPECT_EQ(up.kind, EntryKind::Symlink);
  EXPECT_EQ(up.link_target, "..");
  const Error error = error_of([&] { make("link", "elsewhere"); });
  EXPECT_EQ(error.kind(), ErrorKind::AlreadyExists) << error.message();
  editor().remove(path("link"), soon());
  EXPECT_EQ(content_of("directory/file"), "content");
}

TEST_P(TreeEditorConformance, HardLinksAreMade) {
  put("file", "content");
  put("taken", "taken");
  const auto make = [&](const char* existing, const char* name) {
    editor().make_hard_link(path(existing), path(name), soon());
  };
  if (!server().makes_hard_links()) {
    EXPECT_EQ(error_of([&] { make("file", "link"); }).kind(), ErrorKind::Unsupported);
    return;
  }
  make("file", "link");
  put("file", "changed");
  EXPECT_EQ(content_of("link"), "changed");
  EXPECT_EQ(error_of([&] { make("file", "taken"); }).kind(), ErrorKind::AlreadyExists);
  EXPECT_EQ(error_of([&] { make("missing", "new"); }).kind(), ErrorKind::NotFound);
  EXPECT_EQ(content_of("taken"), "taken");
}

TEST_P(TreeEditorConformance, SpaceIsToldWhereTheServerTellsIt) {
  if (!server().tells_space()) {
    EXPECT_EQ(error_of([&] { editor().space(soon()); }).kind(), ErrorKind::Unsupported);
    return;
  }
  const FileSystemSpace space = editor().space(soon());
  EXPECT_GT(space.block_size, 0u);
  EXPECT_GT(space.blocks, 0u);
  EXPECT_GE(space.blocks, space.blocks_free);
  EXPECT_GE(space.blocks_free, space.blocks_available);
}

// --- Threads and contexts ------------------------------------------------------------------------

TEST_P(TreeEditorConformance, ThreadsChangeATreeTogether) {
  std::vector<std::future<void>> threads;
  for (int i = 0; i < 8; ++i) {
    threads.push_back(std::async(std::launch::async, [&, mine = std::to_string(i)] {
      editor().make_directory(path(mine), 0755, soon());
      for (int round = 0; round < 4; ++round) {
        const std::string name = mine + "/" + std::to_string(round);
        const auto file = editor().open_for_writing(path(name), kNew, soon());
        const Completion written;
        const auto text = std::make_shared<std::string>(name);
        file->write(0, std::as_bytes(std::span(*text)), text, soon(), written.done());
        EXPECT_EQ(written.wait(), std::nullopt);
        editor().rename(path(name), path(name + " moved"), false, soon());
        if (round % 2 == 0) editor().remove(path(name + " moved"), soon());
      }
    }));
  }
  for (auto& thread : threads) thread.get();
  for (int i = 0; i < 8; ++i) {
    const std::string mine = std::to_string(i);
    EXPECT_EQ(names_in(mine), (Names{"1 moved", "3 moved"}));
    EXPECT_EQ(content_of(mine + "/1 moved"), mine + "/1");
  }
}

TEST_P(TreeEditorConformance, ChangesEndWhenStoppedOrLate) {
  put("file", "content");
  const std::vector<std::function<void(const RequestContext&)>> changes{
      [&](const auto& context) { editor().open_for_writing(path("new"), kNew, context); },
      [&](const auto& context) { editor().change(path("file"), {.size = 1}, context); },
      [&](const auto& context) { editor().remove(path("file"), context); },
      [&](const auto& context) { editor().make_directory(path("new"), 0755, context); },
      [&](const auto& context) { editor().remove_directory(path("file"), context); },
      [&](const auto& context) { editor().rename(path("file"), path("new"), true, context); },
      [&](const auto& context) { editor().make_symlink(path("new"), "file", context); }};
  for (const auto& change : changes) {
    EXPECT_EQ(error_of([&] { change(stopped()); }).kind(), ErrorKind::Cancelled);
    EXPECT_EQ(error_of([&] { change(too_late()); }).kind(), ErrorKind::TimedOut);
  }
  EXPECT_EQ(names_in(), Names{"file"});
  EXPECT_EQ(content_of("file"), "content");
}

}  // namespace
}  // namespace red::testing
