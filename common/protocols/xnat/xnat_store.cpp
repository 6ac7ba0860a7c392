#include "common/protocols/xnat/xnat_store.h"

#include <algorithm>
#include <stop_token>
#include <utility>

#include "common/net/http_answer.h"
#include "common/net/http_asker.h"
#include "common/net/http_error.h"
#include "common/protocols/xnat/packed_reads.h"
#include "common/protocols/xnat/xnat_examination.h"
#include "common/protocols/xnat/xnat_finder.h"
#include "common/protocols/xnat/xnat_names.h"
#include "common/protocols/xnat/xnat_queries.h"
#include "common/protocols/xnat/xnat_tree.h"
#include "common/worker_pool.h"

namespace red {
namespace {

/// One finds the way, and the others find it known.
constexpr std::size_t kLocatingThreads = 1;
/// Files that come in archives need no connection each.
constexpr int kParallelFiles = 64;

/// Large files have half of the connections to themselves when there is TLS; one must be left for
/// others when all archives are held back.
std::size_t archives_at_a_time(const HttpClientOptions& client) {
  const int half = client.max_connections / 2;
  const int for_large = client.max_connections - (client.uses_tls ? half : 0);
  return static_cast<std::size_t>(std::max(std::min(half, for_large - 1), 0));
}

/// What the access data names, for people, before anything is asked.
std::string named_path(const XnatAccess& access) {
  std::string path = project_path(access.project);
  if (access.subject) path += "/subjects/" + encode_object_name(*access.subject);
  if (access.session) path += "/experiments/" + encode_object_name(*access.session);
  if (access.container_type) path += "/" + std::string(name_of(*access.container_type));
  if (access.container) path += "/" + encode_object_name(*access.container);
  if (access.resource) path = resource_path(path, *access.resource) + "/files";
  if (access.file) path += "/" + encode_file_path(*access.file);
  return path;
}

Url named_url(const XnatAccess& access) {
  Url url = access.base;
  url.path += "/data" + named_path(access);
  return url;
}

/// Whoever waits for a file's place is told something, even if nobody gets to look for it.
class LocationPromise {
 public:
  LocationPromise(std::string path, XnatFile::Located located)
      : path_(std::move(path)), located_(std::move(located)) {}
  ~LocationPromise() {
    const Error error(ErrorKind::Cancelled, path_ + ": the session has ended");
    if (located_) located_(&error, {});
  }
  LocationPromise(const LocationPromise&) = delete;
  LocationPromise& operator=(const LocationPromise&) = delete;

  /// Once.
  void keep(const Error* error, const Url& url) { std::exchange(located_, nullptr)(error, url); }

 private:
  const std::string path_;
  XnatFile::Located located_;
};

}  // namespace

std::string location_of(const XnatAccess& access) { return named_url(access).to_display(); }

struct XnatStore::Parts {
  Parts(XnatAccess to_access, std::shared_ptr<HttpClient> client)
      : access(std::move(to_access)),
        session(std::make_shared<XnatSession>(std::move(client), access)),
        queries(session, access.base),
        finder(access, queries),
        tree(access, queries, finder),
        uploader(access, queries, finder),
        packed(std::make_shared<PackedReads>(queries, archives_at_a_time(access.client))) {}

  /// Blocks until `context` ends, or the store.
  Url find_url(const RemotePath& path, RequestContext context) {
    std::stop_source either;
    const auto stop = [&either] { either.request_stop(); };
    const std::stop_callback on_stop(context.stop, stop);
    const std::stop_callback on_end(ending.get_token(), stop);
    context.stop = either.get_token();
    return url_of(tree.find(path, context));
  }

  Url url_of(const XnatPlace& place) const {
    return queries.url(place.kind == XnatPlace::Kind::Files && !place.inside.is_root()
                           ? file_path(place.path, place.inside)
                           : place.path);
  }

  const XnatAccess access;
  const std::shared_ptr<XnatSession> session;
  const XnatQueries queries;
  const XnatFinder finder;
  XnatTree tree;
  XnatUploader uploader;
  const std::shared_ptr<PackedReads> packed;
  std::stop_source ending;
  WorkerPool locators{kLocatingThreads};  // last: its threads use all of the above
};

XnatStore::XnatStore(XnatAccess access, std::shared_ptr<HttpClient> client, Purpose purpose)
    : purpose_(purpose), parts_(std::make_shared<Parts>(std::move(access), std::move(client))) {}

XnatStore::~XnatStore() {
  parts_->ending.request_stop();
  parts_->locators.stop();
  parts_->packed->stop();
  parts_->session->end();
}

int XnatStore::parallelism() const {
  const int connections = parts_->access.options.connections;
  return purpose_ == Purpose::ReceiveDir ? std::max(connections, kParallelFiles) : connections;
}

std::vector<Entry> XnatStore::list(const RemotePath& directory, const RequestContext& context) {
  return parts_->tree.list(directory, context);
}

std::optional<Entry> XnatStore::stat(const RemotePath& path, const RequestContext& context) {
  XnatPlace place;
  try {
    place = parts_->tree.find(path, context);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::NotFound) return std::nullopt;
    throw;
  }
  if (place.kind != XnatPlace::Kind::Files || place.inside.is_root()) return directory_entry(path);
  const Url url = parts_->url_of(place);
  const HttpResponseHead head = fetch_head(url, context);
  if (head.status >= 200 && head.status < 300) return file_entry(path, head);
  if (head.status != 404) throw error_for_status(head, "HEAD", url.to_display());
  if (parts_->tree.is_directory(place, context)) return directory_entry(path);
  return std::nullopt;
}

HttpResponseHead XnatStore::fetch_head(const Url& url, const RequestContext& context) const {
  return exchange_for_head(*parts_->session, {.method = "HEAD", .url = url.to_string()}, context);
}

// --- Reading -------------------------------------------------------------------------------------

std::shared_ptr<RemoteFile> XnatStore::open(const RemotePath& path, const Version& known) {
  return std::make_shared<XnatFile>(parts_->session, locator_for(path), packer_for(path), known,
                                    [parts = parts_, path] { parts->tree.distrust(path); });
}

XnatFile::Locator XnatStore::locator_for(const RemotePath& path) const {
  if (const auto place = parts_->tree.find_known(path)) {
    return [url = parts_->url_of(*place)](const RequestContext&, const XnatFile::Located& located) {
      located(nullptr, url);
    };
  }
  return [parts = parts_, path](const RequestContext& context, const XnatFile::Located& located) {
    const auto promise = std::make_shared<LocationPromise>(path.text(), located);
    parts->locators.submit(Priority::Demand, [parts, path, context, promise] {
      std::optional<Error> error;
      Url url;
      try {
        url = parts->find_url(path, context);
      } catch (...) {
        error = current_exception_as_error();
      }
      promise->keep(error ? &*error : nullptr, url);
    });
  };
}

/// Whoever lists a resource to receive it reads all of it.
XnatFile::Packer XnatStore::packer_for(const RemotePath& path) const {
  if (purpose_ != Purpose::ReceiveDir) return {};
  const auto place = parts_->tree.find_known(path);
  auto catalog = place ? parts_->tree.known_catalog(*place) : nullptr;
  if (!catalog) return {};
  return [packed = parts_->packed, place = *place, catalog = std::move(catalog)](
             const std::shared_ptr<ReadSink>& sink, const RequestContext& context,
             std::function<void()> read_alone) {
    return packed->read(place.path, catalog, place.inside, sink, context, std::move(read_alone));
  };
}

std::string XnatStore::location(const RemotePath& path) const {
  if (const auto place = parts_->tree.find_known(path)) {
    return parts_->url_of(*place).to_display();
  }
  Url url = named_url(parts_->access);
  for (const std::string_view name : path.components()) url.path += "/" + encode_object_name(name);
  return url.to_display();
}

// --- Validation, sending -------------------------------------------------------------------------

std::optional<Asker> XnatStore::asker() const {
  const XnatAccess& access = parts_->access;
  HttpClientOptions options = access.client;
  options.credentials = {HttpCredentials::Scheme::Basic, access.username, access.password};
  return asker_of(options, access.base);
}

void XnatStore::check(Purpose purpose, const RequestContext& context) {
  switch (purpose) {
    case Purpose::ReceiveFile: {
      const Url url = parts_->url_of(parts_->tree.find({}, context));
      const HttpResponseHead head = fetch_head(url, context);
      if (head.status >= 200 && head.status < 300) return;
      throw error_for_status(head, "HEAD", url.to_display());
    }
    case Purpose::ReceiveDir:
    case Purpose::MountDir:
      parts_->tree.list({}, context);
      return;
    case Purpose::SendFile:
    case Purpose::SendDir:
      parts_->uploader.check(context);
  }
}

Examination XnatStore::examination() { return examine_xnat(parts_->access, parts_->queries); }

Uploader* XnatStore::uploader() { return &parts_->uploader; }

TreeUploader* XnatStore::tree_uploader() { return &parts_->uploader; }

}  // namespace red
