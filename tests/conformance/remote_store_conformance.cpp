#include "tests/conformance/remote_store_conformance.h"

#include <utility>

#include "tests/fakes/path_of.h"
#include "tests/fakes/text_source.h"

namespace red::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kPatience{40};

}  // namespace

// --- Completion ----------------------------------------------------------------------------------

WritableFile::Done Completion::done() const {
  return [state = state_](const Error* error) {
    const std::lock_guard lock(state->mutex);
    ++state->calls;
    if (error != nullptr) state->error = *error;
    state->changed.notify_all();
  };
}

std::optional<Error> Completion::wait() const {
  std::unique_lock lock(state_->mutex);
  if (!state_->changed.wait_for(lock, kPatience, [this] { return state_->calls > 0; })) {
    return Error(ErrorKind::Internal, "the call does not end");
  }
  return state_->error;
}

int Completion::calls() const {
  const std::lock_guard lock(state_->mutex);
  return state_->calls;
}

// --- The suite's own server, store and directory -------------------------------------------------

std::unique_ptr<ConformanceServer> RemoteStoreConformance::server_;
std::unique_ptr<RemoteStore> RemoteStoreConformance::store_;
int RemoteStoreConformance::tests_ = 0;

void RemoteStoreConformance::TearDownTestSuite() {
  store_.reset();
  server_.reset();
}

void RemoteStoreConformance::SetUp() {
  if (!server_) server_ = GetParam()();
  if (!store_ || !server_->looks_at_every_listing()) store_ = open_another(Purpose::MountDir);
  directory_ = "test-" + std::to_string(++tests_);
  server_->put_directory(directory_);
}

void RemoteStoreConformance::TearDown() {
  for (const Sink& sink : sinks_) {
    EXPECT_TRUE(sink->wait()) << "a read never ends";
    EXPECT_EQ(sink->finishes(), 1);
    EXPECT_FALSE(sink->is_torn()) << "answers, pieces and end do not come in order";
  }
  for (const Completion& completion : completions_) {
    completion.wait();
    EXPECT_EQ(completion.calls(), 1);
  }
}

RemotePath RemoteStoreConformance::path(std::string_view name) const {
  return path_of(on_server(name));
}

std::string RemoteStoreConformance::on_server(std::string_view name) const {
  return name.empty() ? directory_ : directory_ + "/" + std::string(name);
}

// --- Contexts and errors -------------------------------------------------------------------------

RequestContext RemoteStoreConformance::stopped() {
  std::stop_source stop;
  stop.request_stop();
  return RequestContext::within(30s, stop.get_token());
}

RequestContext RemoteStoreConformance::too_late() { return RequestContext::within(-1s); }

void RemoteStoreConformance::expect_no_secret(const std::string& text) {
  for (const std::string& secret : server_->secrets()) EXPECT_THAT(text, Not(HasSubstr(secret)));
}

// --- Reading -------------------------------------------------------------------------------------

RemoteStoreConformance::Sink RemoteStoreConformance::new_sink(std::uint64_t enough) {
  sinks_.push_back(std::make_shared<CollectingSink>(enough));
  return sinks_.back();
}

RemoteStoreConformance::Sink RemoteStoreConformance::start_read(RemoteFile& file,
                                                                std::optional<ByteRange> range,
                                                                const RequestContext& context) {
  const Sink sink = new_sink();
  file.read(range, sink, context);
  return sink;
}

Error RemoteStoreConformance::failure_of(const Sink& sink) {
  return error_of([&] {
    if (!sink->wait(kPatience)) throw Error(ErrorKind::Internal, "the read does not end");
    if (sink->error()) throw Error(*sink->error());
  });
}

Error RemoteStoreConformance::failure_of_read(std::string_view name,
                                              const RequestContext& context) {
  return failure_of(start_read(*store_->open(path(name), {}), {}, context));
}

std::string RemoteStoreConformance::bytes_of(const Sink& sink) {
  EXPECT_TRUE(sink->wait(kPatience)) << "the read does not end";
  if (const auto error = sink->error()) ADD_FAILURE() << error->message();
  return sink->bytes();
}

// --- Sending and changing ------------------------------------------------------------------------

Completion RemoteStoreConformance::new_completion() { return completions_.emplace_back(); }

void RemoteStoreConformance::send(std::string_view name, const std::string& content,
                                  const LocalAttributes& attributes) {
  TextSource source(content);
  uploader().upload(path(name), source, attributes, soon());
}

std::optional<Error> RemoteStoreConformance::write(WritableFile& file, std::uint64_t offset,
                                                   std::string_view text) {
  const Completion written = new_completion();
  const auto bytes = std::make_shared<std::string>(text);
  file.write(offset, std::as_bytes(std::span(*bytes)), bytes, soon(), written.done());
  return written.wait();
}

std::string RemoteStoreConformance::read_back(WritableFile& file, ByteRange range) {
  const Completion is_read = new_completion();
  const auto text = std::make_shared<std::string>();
  file.read(range, soon(),
            [text, done = is_read.done()](const Error* error, std::vector<std::byte> bytes) {
              text->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
              done(error);
            });
  if (const auto error = is_read.wait()) ADD_FAILURE() << error->message();
  return *text;
}

std::optional<Error> RemoteStoreConformance::close(WritableFile& file) {
  const Completion closed = new_completion();
  file.close(soon(), closed.done());
  return closed.wait();
}

}  // namespace red::testing
