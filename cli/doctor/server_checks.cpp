#include "cli/doctor/server_checks.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/connectors.h"
#include "cli/doctor/machine_checks.h"
#include "common/error.h"
#include "common/net/connection_steps.h"

namespace red {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kWholeLimit = 50s;
constexpr auto kPathLimit = 15s;
constexpr auto kListingLimit = 15s;
constexpr auto kRangesLimit = 12s;
constexpr auto kRoundTripLimit = 5s;
constexpr int kRoundTrips = 5;

/// How long a read goes on, and how long it may take until then.
constexpr auto kReadFor = 2s;
constexpr auto kRateLimit = 8s;
/// What comes within the first round trips says nothing about the rate.
constexpr std::uint64_t kEnoughForRate = 1 << 20;
constexpr std::uint64_t kRangeSize = 4096;
/// Directories that are listed in search of a file.
constexpr int kMostListings = 20;
/// Files whose size a listing does not tell, and that are asked for theirs.
constexpr int kMostSizes = 20;

bool is_for_files(Purpose purpose) {
  return purpose == Purpose::ReceiveFile || purpose == Purpose::SendFile;
}

bool is_for_reading(Purpose purpose) {
  return purpose != Purpose::SendFile && purpose != Purpose::SendDir;
}

std::string joined(std::span<const Purpose> purposes) {
  std::string text;
  for (const Purpose each : purposes) {
    text += (text.empty() ? "" : ", ") + std::string(name_of(each));
  }
  return text;
}

std::string counted(std::size_t count, std::string_view one, std::string_view more) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : more);
}

Finding ok(std::string text) { return {FindingStatus::Ok, std::move(text)}; }
Finding note(std::string text) { return {FindingStatus::Note, std::move(text)}; }

/// Counts the bytes of one read and lets go of them. Ends it when it has gone on for so long.
class CountingSink final : public ReadSink {
 public:
  explicit CountingSink(milliseconds longest) : longest_(longest) {}

  bool begin(const ReadAnswer& answer) override {
    answer_ = answer;
    begun_ = steady_clock::now();
    return true;
  }
  bool receive(std::uint64_t, std::span<const std::byte> bytes) override {
    bytes_ += bytes.size();
    is_enough_ = steady_clock::now() - begun_ >= longest_;
    return !is_enough_;
  }
  void finish(const Error* error) noexcept override {
    const std::lock_guard lock(mutex_);
    if (error != nullptr && !is_enough_) error_ = *error;
    ended_ = steady_clock::now();
    has_ended_ = true;
    changed_.notify_all();
  }

  /// Until the end, which its context brings about. The error, if it was not ended here.
  std::optional<Error> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return has_ended_; });
    return error_;
  }

  // After wait().
  const std::optional<ReadAnswer>& answer() const { return answer_; }
  std::uint64_t bytes() const { return bytes_; }
  Duration time() const { return ended_ - begun_; }

 private:
  const milliseconds longest_;

  // Written on the transport's thread before finish(), read after it.
  std::optional<ReadAnswer> answer_;
  TimePoint begun_ = steady_clock::now();
  std::uint64_t bytes_ = 0;
  bool is_enough_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  // guarded by mutex_
  bool has_ended_ = false;
  TimePoint ended_{};
  std::optional<Error> error_;
};

/// A file to read from.
struct Sample {
  RemotePath path;
  Entry entry;

  std::uint64_t size() const { return entry.size.value_or(0); }
};

class ServerExaminer {
 public:
  ServerExaminer(RemoteStore& store, const ServerUse& use, const std::stop_token& stop,
                 const ShowRow& show)
      : store_(store),
        purposes_(use.purposes),
        is_archive_(use.is_archive),
        stop_(stop),
        show_(show),
        examination_(store.examination()),
        reads_(examination_.reads &&
               std::any_of(purposes_.begin(), purposes_.end(), is_for_reading)),
        deadline_(steady_clock::now() + kWholeLimit) {}

  ServerVerdict run() {
    show("access data", ok(store_.location({}) + ": complete for " + joined(purposes_)));
    bool is_reached = true;
    for (const ExaminationStep& step : examination_.steps) {
      is_reached = take(step.what, step.limit, is_reached, step.run) && is_reached;
    }
    const bool has_path = take("path", kPathLimit, is_reached,
                               [this](const RequestContext& context) { return path(context); });
    if (reads_) read(has_path);
    take("round-trip time", kRoundTripLimit, is_reached,
         [this](const RequestContext& context) { return round_trip(context); });
    if (reads_) {
      take("rate", kRateLimit, sample_.has_value(),
           [this](const RequestContext& context) { return rate(context); });
    }
    return {.is_file = root_ && root_->kind == EntryKind::File};
  }

 private:
  /// False if it failed, or was not tried.
  template <typename Run>
  bool take(const std::string& what, milliseconds limit, bool is_possible, Run run) {
    if (stop_.stop_requested()) throw Error(ErrorKind::Cancelled, "interrupted");
    if (!is_possible) return show(what, {FindingStatus::Skipped, ""});
    const TimePoint until = std::min(deadline_, steady_clock::now() + limit);
    if (steady_clock::now() >= until) {
      return show(what, {FindingStatus::Skipped, "no time is left for it"});
    }
    try {
      const std::optional<Finding> finding = run(RequestContext{until, stop_});
      return !finding || show(what, *finding);
    } catch (...) {
      const Error error = current_exception_as_error();
      if (stop_.stop_requested()) throw Error(ErrorKind::Cancelled, "interrupted");
      return show(what, {FindingStatus::Failed, error.message()});
    }
  }

  bool show(const std::string& what, const Finding& finding) {
    show_({.what = what, .finding = finding});
    return finding.status == FindingStatus::Ok || finding.status == FindingStatus::Note;
  }

  // --- What the access data names ---

  bool takes_file(Purpose purpose) const { return is_archive_ || is_for_files(purpose); }

  std::optional<Finding> path(const RequestContext& context) {
    root_ = store_.stat({}, context);
    if (!root_) return absent(context);
    const bool is_file = root_->kind == EntryKind::File;
    std::vector<Purpose> fitting;
    for (const Purpose each : purposes_) {
      if (takes_file(each) == is_file) fitting.push_back(each);
    }
    std::string text = store_.location({}) + ": a " + (is_file ? "file" : "directory");
    if (is_file && root_->size) text += " of " + bytes_text(*root_->size);
    if (fitting.empty()) {
      throw Error(ErrorKind::Unsupported,
                  text + ", but the access data is for " + joined(purposes_));
    }
    return ok(text + ", for " + joined(fitting));
  }

  Finding absent(const RequestContext& context) {
    const std::string where = store_.location({});
    if (!reads_) return note(where + ": does not exist; sending makes it");
    // The store's own words say more, where it has some.
    store_.check(purposes_.front(), context);
    throw Error(ErrorKind::NotFound, where + ": does not exist");
  }

  void read(bool has_path) {
    bool has_sample = has_path;
    const bool is_to_list =
        root_ ? root_->kind == EntryKind::Directory : !takes_file(purposes_.front());
    if (is_to_list) {
      has_sample = take("listing", kListingLimit, has_path,
                        [this](const RequestContext& context) { return listing(context); });
    }
    take("ranges", kRangesLimit, has_sample,
         [this](const RequestContext& context) { return ranges(context); });
  }

  std::optional<Finding> listing(const RequestContext& context) {
    const TimePoint start = steady_clock::now();
    try {
      entries_ = store_.list({}, context);
    } catch (const Error& error) {
      const bool is_hidden =
          error.kind() == ErrorKind::Unsupported || error.kind() == ErrorKind::PermissionDenied;
      if (!is_hidden) throw;
      throw Error(error.kind(), error.message() +
                                    "\nwithout a listing of the server's this cannot be mounted; "
                                    "receive-dir needs --listing LISTING");
    }
    const Duration time = steady_clock::now() - start;
    const auto files = std::count_if(entries_.begin(), entries_.end(), [](const Entry& each) {
      return each.kind == EntryKind::File;
    });
    const std::string format = examination_.listing_format ? examination_.listing_format() : "";
    return ok((format.empty() ? "" : format + ": ") + counted(entries_.size(), "entry", "entries") +
              " (" + counted(static_cast<std::size_t>(files), "file", "files") + "), " +
              time_text(time));
  }

  // --- Reading ---

  /// A file that takes a while to read, if one is found soon; else the largest.
  void find_sample(const RequestContext& context) {
    if (root_->kind == EntryKind::File) {
      sample_ = Sample{{}, *root_};
      return;
    }
    std::deque<RemotePath> directories;
    look_for_sample({}, entries_, directories, context);
    for (int i = 1; i < kMostListings && !directories.empty(); ++i) {
      if (sample_ && sample_->size() >= kEnoughForRate) return;
      const RemotePath directory = std::move(directories.front());
      directories.pop_front();
      try {
        look_for_sample(directory, store_.list(directory, context), directories, context);
      } catch (const Error&) {
        // One that must not be listed is not the one that was asked about; time may be over.
        if (stop_.stop_requested() || steady_clock::now() >= context.deadline) return;
      }
    }
  }

  void look_for_sample(const RemotePath& directory, const std::vector<Entry>& entries,
                       std::deque<RemotePath>& directories, const RequestContext& context) {
    for (const Entry& entry : entries) {
      if (entry.kind == EntryKind::Directory && directories.size() < kMostListings) {
        directories.push_back(directory.child(entry.name));
      }
      if (entry.kind == EntryKind::File) consider(directory.child(entry.name), entry, context);
    }
  }

  void consider(const RemotePath& path, const Entry& entry, const RequestContext& context) {
    Entry known = entry;
    if (!known.size && sizes_asked_++ < kMostSizes) {
      known = store_.stat(path, context).value_or(entry);
    }
    if (!sample_ || known.size.value_or(0) > sample_->size()) sample_ = Sample{path, known};
  }

  /// From 1 on: whoever ignores the range begins at 0.
  std::optional<Finding> ranges(const RequestContext& context) {
    find_sample(context);
    if (!sample_) return note("not tried: no file was found");
    const std::string on = " (tried on " + store_.location(sample_->path) + ")";
    if (sample_->entry.size.value_or(kRangeSize) < 2) {
      return note("not tried: no file was found that has more than a byte");
    }
    file_ = store_.open(sample_->path, sample_->entry.version());
    const ByteRange range{1, std::min(sample_->entry.size.value_or(2), 1 + kRangeSize)};
    const auto sink = std::make_shared<CountingSink>(kReadFor);
    file_->read(range, sink, context);
    const auto error = sink->wait();
    const bool is_ignored = sink->answer() && !sink->answer()->is_range;
    if (is_ignored) {
      return note(
          "not served: files are fetched from their beginning, and a mount keeps what it "
          "has not been asked for yet" +
          on);
    }
    if (error) throw Error(*error);
    return ok("served" + on);
  }

  std::optional<Finding> rate(const RequestContext& context) {
    const auto size = file_ ? file_->version().size : std::nullopt;
    if (!size || *size == 0) return note("not tried: no file of a known size was found");
    const auto sink = std::make_shared<CountingSink>(kReadFor);
    file_->read(ByteRange{0, *size}, sink, context);
    const auto error = sink->wait();
    if (error && sink->bytes() == 0) throw Error(*error);
    const double seconds = std::chrono::duration<double>(sink->time()).count();
    const std::string amount = bytes_text(sink->bytes()) + " in " + time_text(sink->time());
    if (error) return note(amount + ", then: " + error->message());
    if (sink->bytes() < kEnoughForRate && sink->time() < 1s) {
      return note("the largest file that was found is too small to tell: " + amount);
    }
    const auto per_second =
        static_cast<std::uint64_t>(static_cast<double>(sink->bytes()) / std::max(seconds, 1e-6));
    return ok(bytes_text(per_second) + "/s by one request (" + amount + ")");
  }

  std::optional<Finding> round_trip(const RequestContext& context) {
    const auto ask = [&] {
      const TimePoint start = steady_clock::now();
      if (examination_.small_request) {
        examination_.small_request(context);
      } else {
        store_.stat({}, context);
      }
      return steady_clock::now() - start;
    };
    ask();  // the first may have to connect
    std::array<Duration, kRoundTrips> times{};
    std::generate(times.begin(), times.end(), ask);
    std::sort(times.begin(), times.end());
    return ok(time_text(times[kRoundTrips / 2]) + " (median of " + std::to_string(kRoundTrips) +
              " small requests)");
  }

  RemoteStore& store_;
  const std::span<const Purpose> purposes_;
  const bool is_archive_;
  const std::stop_token stop_;
  const ShowRow& show_;
  const Examination examination_;
  const bool reads_;
  const TimePoint deadline_;

  std::optional<Entry> root_;
  std::vector<Entry> entries_;  ///< of the root
  std::optional<Sample> sample_;
  int sizes_asked_ = 0;
  std::shared_ptr<RemoteFile> file_;  ///< the sample
};

}  // namespace

ServerVerdict check_server(RemoteStore& store, const ServerUse& use, const std::stop_token& stop,
                           const ShowRow& show) {
  return ServerExaminer(store, use, stop, show).run();
}

}  // namespace red
