#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/conformance_server.h"
#include "tests/fakes/collecting_sink.h"

namespace red {

// How tests show them.
inline void PrintTo(ErrorKind kind, std::ostream* out) { *out << name_of(kind); }
inline void PrintTo(const Error& error, std::ostream* out) { *out << error.message(); }

}  // namespace red

namespace red::testing {

/// Starts the server of one instance of the suite.
using StartServer = std::unique_ptr<ConformanceServer> (*)();

template <typename Server>
std::unique_ptr<ConformanceServer> start() {
  return std::make_unique<Server>();
}

/// The end of an asynchronous call of a WritableFile. Copies share it. Thread-safe.
class Completion {
 public:
  /// To be given to the call.
  WritableFile::Done done() const;
  /// What the call ended with; Error{Internal} if it does not end.
  std::optional<Error> wait() const;
  int calls() const;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    // guarded by mutex
    int calls = 0;
    std::optional<Error> error;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// What every RemoteStore promises, tested against the headers of common/remote alone. A protocol
/// takes part by a ConformanceServer and a line for each suite that it is to pass:
///   INSTANTIATE_TEST_SUITE_P(Name, RemoteStoreConformance, ::testing::Values(start<Server>));
/// One server serves a whole suite, and one store where it looks_at_every_listing(); each test has
/// a directory of its own.
class RemoteStoreConformance : public ::testing::TestWithParam<StartServer> {
 protected:
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override;

  ConformanceServer& server() { return *server_; }
  RemoteStore& store() { return *store_; }
  Uploader& uploader() { return *store_->uploader(); }
  TreeEditor& editor() { return *store_->editor(); }

  /// Below the directory of this test, for the store and for the server.
  RemotePath path(std::string_view name = "") const;
  std::string on_server(std::string_view name = "") const;
  void put(std::string_view name, std::string_view content) {
    server_->put_file(on_server(name), content);
  }
  /// An empty one, where the server keeps such.
  void put_directory(std::string_view name) {
    server_->put_directory(on_server(name));
    if (!server_->keeps_directories()) put(std::string(name) + "/file", "");
  }
  std::optional<std::string> content_of(std::string_view name) const {
    return server_->content_of(on_server(name));
  }
  std::vector<std::string> names_in(std::string_view name = "") const {
    return server_->names_in(on_server(name));
  }
  /// At `name`.
  std::unique_ptr<RemoteStore> open(std::string_view name, Purpose purpose) {
    return server_->open(on_server(name), purpose);
  }
  /// With the root of store().
  std::unique_ptr<RemoteStore> open_another(Purpose purpose) { return server_->open("", purpose); }
  /// From now on store() shows what has changed behind its back.
  void look_again() {
    if (!server_->looks_at_every_listing()) store_->list({}, soon());
  }

  static RequestContext soon() { return RequestContext::within(std::chrono::seconds(30)); }
  static RequestContext stopped();
  static RequestContext too_late();

  /// The error of a call that must fail; it tells no secret.
  template <typename Call>
  Error error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      expect_no_secret(error.message());
      return error;
    } catch (...) {
      ADD_FAILURE() << "an error that is no red::Error";
    }
    return {ErrorKind::Internal, "no error at all"};
  }
  void expect_no_secret(const std::string& text);

  using Sink = std::shared_ptr<CollectingSink>;
  /// At the end of the test it must have been told its end exactly once.
  Sink new_sink(std::uint64_t enough = std::numeric_limits<std::uint64_t>::max());
  Sink start_read(RemoteFile& file, std::optional<ByteRange> range,
                  const RequestContext& context = soon());
  /// The error of a read that must fail.
  Error failure_of(const Sink& sink);
  Error failure_of_read(std::string_view name, const RequestContext& context = soon());
  /// What a read that must succeed delivers.
  std::string bytes_of(const Sink& sink);
  std::string read(RemoteFile& file, std::optional<ByteRange> range = {}) {
    return bytes_of(start_read(file, range));
  }
  std::string read(std::string_view name) { return read(*store_->open(path(name), {})); }

  /// At the end of the test it must have been called exactly once.
  Completion new_completion();
  void send(std::string_view name, const std::string& content, const LocalAttributes& = {});
  /// Through a file that is open for writing.
  std::optional<Error> write(WritableFile& file, std::uint64_t offset, std::string_view text);
  std::string read_back(WritableFile& file, ByteRange range);
  std::optional<Error> close(WritableFile& file);

  /// The server stalls as long as this lives.
  class Stall {
   public:
    explicit Stall(ConformanceServer& server) : server_(server) { server_.stall(); }
    ~Stall() { server_.go_on(); }
    Stall(const Stall&) = delete;
    Stall& operator=(const Stall&) = delete;

   private:
    ConformanceServer& server_;
  };

 private:
  static std::unique_ptr<ConformanceServer> server_;
  static std::unique_ptr<RemoteStore> store_;
  static int tests_;

  std::string directory_;
  std::vector<Sink> sinks_;
  std::vector<Completion> completions_;
};

/// What an Uploader promises, where takes_uploads().
class UploaderConformance : public RemoteStoreConformance {};

/// What a TreeEditor promises, where has_editor().
class TreeEditorConformance : public RemoteStoreConformance {};

/// A time long before the tests, as a second that every protocol can tell.
inline constexpr FileTime kLongAgo{std::chrono::seconds(987'654'321)};

}  // namespace red::testing
