#include "common/protocols/xnat/packed_reads.h"

#include <chrono>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/logging.h"

namespace red {
namespace {

/// Of fewer files a request each is as fast; so it is of larger ones.
constexpr std::size_t kFewestFiles = 32;
constexpr std::uint64_t kLargestAverage = 256 * 1024;
constexpr std::uint64_t kLargestFile = 4 << 20;
/// Bytes that an archive may be ahead of its readers.
constexpr std::size_t kMaxEarly = 8 << 20;
/// XNAT looks for all files before it sends the first.
constexpr std::chrono::minutes kPatience{2};

bool can_be_packed(const XnatCatalogEntry& entry) {
  return entry.checksum && entry.size && *entry.size <= kLargestFile;
}

/// Whether a resource is many small files, and nearly nothing else.
bool has_small_files(const XnatCatalog& catalog) {
  std::uint64_t bytes = 0;
  std::uint64_t packed = 0;
  for (const auto& [path, entry] : catalog.files()) {
    bytes += entry.size.value_or(0);
    if (!entry.size) return false;
    if (can_be_packed(entry)) packed += *entry.size;
  }
  return catalog.size() >= kFewestFiles && bytes / catalog.size() <= kLargestAverage &&
         bytes - packed <= bytes / 10;
}

void deliver(const TarMember& member, ReadSink& sink) {
  const ReadAnswer answer{
      .offset = 0,
      .is_range = false,
      .ranges_supported = true,
      .version = {.etag = {}, .modified = member.modified, .size = member.content.size()},
      .content_type = "application/octet-stream"};
  const bool is_wanted =
      sink.begin(answer) && (member.content.empty() || sink.receive(0, member.content));
  if (is_wanted) return sink.finish(nullptr);
  const Error error(ErrorKind::Cancelled, member.name + ": called off");
  sink.finish(&error);
}

}  // namespace

/// One archive on its way.
class PackedReads::Stream final : public HttpSink {
 public:
  Stream(std::shared_ptr<PackedReads> reads, std::shared_ptr<Archive> archive)
      : reads_(std::move(reads)),
        archive_(std::move(archive)),
        tar_(kLargestFile, [this](TarMember member) { take(std::move(member)); }) {}

  bool begin(const HttpResponseHead& head) override { return head.status == 200; }
  bool receive(std::span<const std::byte> bytes) override {
    try {
      tar_.read(bytes);
      return known_ > 0 || strangers_ < kMostStrangers;
    } catch (const Error& error) {
      log(LogLevel::Info, archive_->resource + ": " + error.message());
      return false;
    }
  }
  void finish(const Error*) noexcept override { reads_->ended(archive_); }

 private:
  /// An archive whose paths are none that we know is of no use.
  static constexpr int kMostStrangers = 10;

  void take(TarMember member) {
    ++(reads_->arrived(*archive_, std::move(member)) ? known_ : strangers_);
  }

  const std::shared_ptr<PackedReads> reads_;
  const std::shared_ptr<Archive> archive_;
  TarReader tar_;
  int known_ = 0;
  int strangers_ = 0;
};

std::shared_ptr<PackedReads::Archive> PackedReads::archive_of(
    const std::string& resource, const std::shared_ptr<const XnatCatalog>& catalog) {
  auto& archive = archives_[resource];
  if (!archive) {
    archive = std::make_shared<Archive>();
    archive->resource = resource;
    archive->catalog = catalog;
    archive->has_small_files = has_small_files(*catalog);
  }
  return archive;
}

/// Whether it is to be asked for now. What was read alone before would come a second time.
bool PackedReads::begin_if_worth_it(Archive& archive) {
  if (archive.state != Archive::State::NotAsked) return false;
  const bool is_mostly_wanted = archive.taken.size() * 4 <= archive.catalog->size();
  if (is_stopped_ || !is_mostly_wanted || coming_ >= max_archives_) return false;
  archive.state = Archive::State::Coming;
  ++coming_;
  return true;
}

std::optional<TarMember> PackedReads::take_early(Archive& archive, const RemotePath& file) {
  auto found = archive.early.extract(file);
  if (!found) return std::nullopt;
  archive.taken.insert(file);
  archive.early_bytes -= found.mapped().content.size();
  return std::move(found.mapped());
}

bool PackedReads::read(const std::string& resource,
                       const std::shared_ptr<const XnatCatalog>& catalog, const RemotePath& file,
                       const std::shared_ptr<ReadSink>& sink, const RequestContext& context,
                       std::function<void()> read_alone) {
  const XnatCatalogEntry* entry = catalog->find_file(file);
  if (entry == nullptr || !can_be_packed(*entry)) return false;
  std::shared_ptr<Archive> archive;
  std::optional<TarMember> early;
  const auto waiting = std::make_shared<Waiting>(sink, std::move(read_alone));
  bool has_to_ask = false;
  bool has_room = true;
  {
    const std::lock_guard lock(mutex_);
    archive = archive_of(resource, catalog);
    early = take_early(*archive, file);
    if (!early) {
      if (!archive->has_small_files || archive->state == Archive::State::Over) return false;
      if (!archive->taken.insert(file).second) return false;
      has_to_ask = begin_if_worth_it(*archive);
      if (archive->state != Archive::State::Coming || archive->dropped.contains(file)) return false;
      archive->waiting.emplace(file, waiting);
    }
    has_room = !archive->waiting.empty() || archive->early_bytes < kMaxEarly / 2;
  }
  if (early) {
    deliver(*early, *sink);
  } else {
    waiting->stop_watch.emplace(context.stop, [weak = weak_from_this(), archive, file] {
      // Ending the read destroys this callback.
      const auto kept_archive = archive;
      const RemotePath kept_file = file;
      if (const auto self = weak.lock()) self->call_off(kept_archive, kept_file);
    });
  }
  if (has_to_ask) request(archive);
  if (has_room) archive->flow->release();
  return true;
}

void PackedReads::request(const std::shared_ptr<Archive>& archive) {
  Url url = queries_.url(archive->resource + "/files");
  url.query = "format=tar";
  url.has_query = true;
  queries_.session().start({.url = url.to_string(),
                            .own_connection = true,
                            .stall_timeout = kPatience,
                            .flow = archive->flow},
                           std::make_shared<Stream>(shared_from_this(), archive),
                           {.stop = archive->stop.get_token()});
}

bool PackedReads::arrived(Archive& archive, TarMember member) {
  const auto file = path_in_resource("/" + member.name);
  const XnatCatalogEntry* entry = file ? archive.catalog->find_file(*file) : nullptr;
  if (entry == nullptr) return false;
  // The request of its own tells what has become of it.
  if (entry->size != member.content.size()) return true;
  std::shared_ptr<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (auto found = archive.waiting.extract(*file)) {
      waiting = std::move(found.mapped());
    } else if (!archive.taken.contains(*file)) {
      keep_early(archive, *file, std::move(member));
    }
    if (archive.waiting.empty() && archive.early_bytes >= kMaxEarly) archive.flow->hold();
  }
  if (waiting) deliver(member, *waiting->sink);
  return true;
}

/// While somebody waits for what comes later, nothing may be held back for others.
void PackedReads::keep_early(Archive& archive, const RemotePath& file, TarMember member) {
  if (archive.early_bytes >= kMaxEarly && !archive.waiting.empty()) {
    archive.dropped.insert(file);
    return;
  }
  archive.early_bytes += member.content.size();
  archive.early.emplace(file, std::move(member));
}

/// What it did not bring is asked for by itself.
void PackedReads::ended(const std::shared_ptr<Archive>& archive) {
  std::map<RemotePath, std::shared_ptr<Waiting>> left;
  {
    const std::lock_guard lock(mutex_);
    archive->state = Archive::State::Over;
    --coming_;
    archive->catalog.reset();
    archive->taken.clear();
    archive->dropped.clear();
    left.swap(archive->waiting);
  }
  for (const auto& [file, waiting] : left) waiting->read_alone();
}

void PackedReads::call_off(const std::shared_ptr<Archive>& archive, const RemotePath& file) {
  std::shared_ptr<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (auto found = archive->waiting.extract(file)) waiting = std::move(found.mapped());
  }
  archive->stop.request_stop();
  if (!waiting) return;
  const Error error(ErrorKind::Cancelled, file.text() + ": called off");
  waiting->sink->finish(&error);
}

void PackedReads::stop() {
  std::vector<std::shared_ptr<Archive>> archives;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    for (const auto& [resource, archive] : archives_) archives.push_back(archive);
  }
  for (const auto& archive : archives) archive->stop.request_stop();
}

}  // namespace red
