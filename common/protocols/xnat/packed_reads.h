#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include "common/net/http_client.h"
#include "common/protocols/xnat/tar_reader.h"
#include "common/protocols/xnat/xnat_catalog.h"
#include "common/protocols/xnat/xnat_queries.h"
#include "common/remote/remote_store.h"

namespace red {

/// Brings resources of many small files in one request each: as a tar archive that is unpacked as
/// it comes, while a request for each file would cost a round trip, and XNAT a reading of the whole
/// catalog. For one who reads all files of a resource, about in the order of its catalog.
///
/// Only files with a digest in the catalog come this way, so that whoever checks it knows them to
/// be right. What the archive does not bring (XNAT leaves out what it cannot find, and may end an
/// archive early) is read by itself. Thread-safe.
class PackedReads : public std::enable_shared_from_this<PackedReads> {
 public:
  /// `queries` must outlive it. At most `max_archives` come at a time; that must leave connections
  /// for others, as an archive is held back while nobody wants what is in it.
  PackedReads(const XnatQueries& queries, std::size_t max_archives)
      : queries_(queries), max_archives_(max_archives) {}

  /// Whether the file comes in an archive; `read_alone` is called if it does not after all.
  bool read(const std::string& resource, const std::shared_ptr<const XnatCatalog>& catalog,
            const RemotePath& file, const std::shared_ptr<ReadSink>& sink,
            const RequestContext& context, std::function<void()> read_alone);

  /// Ends all archives, and begins none any more.
  void stop();

 private:
  class Stream;
  /// A read that waits for its file.
  struct Waiting {
    Waiting(std::shared_ptr<ReadSink> to_sink, std::function<void()> alone)
        : sink(std::move(to_sink)), read_alone(std::move(alone)) {}

    const std::shared_ptr<ReadSink> sink;
    const std::function<void()> read_alone;
    std::optional<std::stop_callback<std::function<void()>>> stop_watch;
  };
  /// One resource.
  struct Archive {
    std::string resource;
    std::shared_ptr<const XnatCatalog> catalog;
    bool has_small_files = false;
    enum class State { NotAsked, Coming, Over } state = State::NotAsked;
    std::shared_ptr<HttpFlow> flow = std::make_shared<HttpFlow>();
    std::stop_source stop = {};
    std::set<RemotePath> taken = {};    ///< what somebody has read, however, or waits for
    std::set<RemotePath> dropped = {};  ///< has come when there was no room for it
    std::map<RemotePath, std::shared_ptr<Waiting>> waiting = {};
    std::map<RemotePath, TarMember> early = {};  ///< has come before anybody wanted it
    std::size_t early_bytes = 0;
  };

  std::shared_ptr<Archive> archive_of(const std::string& resource,
                                      const std::shared_ptr<const XnatCatalog>& catalog);
  bool begin_if_worth_it(Archive& archive);
  static std::optional<TarMember> take_early(Archive& archive, const RemotePath& file);
  void request(const std::shared_ptr<Archive>& archive);
  /// Whether it is a file of the catalog.
  bool arrived(Archive& archive, TarMember member);
  static void keep_early(Archive& archive, const RemotePath& file, TarMember member);
  void ended(const std::shared_ptr<Archive>& archive);
  void call_off(const std::shared_ptr<Archive>& archive, const RemotePath& file);

  // set once
  const XnatQueries& queries_;
  const std::size_t max_archives_;

  std::mutex mutex_;
  // guarded by mutex_, and all that is in them
  std::map<std::string, std::shared_ptr<Archive>> archives_;
  std::size_t coming_ = 0;
  bool is_stopped_ = false;
};

}  // namespace red
