#include "common/protocols/xnat/xnat_uploader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <random>
#include <utility>

#include "common/digest.h"
#include "common/logging.h"
#include "common/net/http_answer.h"
#include "common/net/http_error.h"
#include "common/protocols/xnat/xnat_names.h"
#include "common/protocols/xnat/zip_source.h"

namespace red {
namespace {

/// XNAT unpacks, digests and files an archive before it answers.
constexpr std::chrono::minutes kUploadPatience{10};
constexpr std::size_t kMaxAnswer = 1 << 20;
/// From here on an upload is bulk: a connection of its own keeps it from slowing others down.
constexpr std::uint64_t kBulkFrom = 1 << 20;
/// One archive is one writing of the catalog; proxies bound the size of requests.
constexpr std::uint64_t kMaxArchive = 512U << 20;
constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kMostShown = 20;

/// A source that somebody else owns.
class BorrowedSource final : public ByteSource {
 public:
  explicit BorrowedSource(ByteSource& source) : source_(source) {}
  std::uint64_t size() const override { return source_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    return source_.read_at(offset, buffer);
  }

 private:
  ByteSource& source_;
};

/// Takes the digest of what is read from the begin to the end, whatever was read before.
class DigestedSource final : public ByteSource {
 public:
  explicit DigestedSource(ByteSource& source) : source_(source) {}

  std::uint64_t size() const override { return source_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    const std::size_t count = source_.read_at(offset, buffer);
    if (offset == 0) {
      digest_.emplace(DigestAlgorithm::Md5);
      position_ = 0;
    }
    if (digest_ && offset == position_) {
      digest_->update(buffer.first(count));
      position_ += count;
    } else {
      digest_.reset();
    }
    return count;
  }
  /// Empty if it was not read in one go.
  std::string md5() { return digest_ && position_ == size() ? digest_->hex() : std::string(); }

 private:
  ByteSource& source_;
  std::optional<Digest> digest_;
  std::uint64_t position_ = 0;
};

std::string random_name() {
  std::random_device random;
  std::string name = "red-connector-";
  for (int i = 0; i < 16; ++i) name += "0123456789abcdef"[random() % 16];
  return name + ".zip";
}

std::string join_lines(std::string text, const std::vector<std::string>& lines) {
  const std::size_t shown = std::min(lines.size(), kMostShown);
  for (std::size_t i = 0; i < shown; ++i) text += "\n  " + lines[i];
  if (shown < lines.size()) {
    text += "\n  and " + std::to_string(lines.size() - shown) + " more";
  }
  return text;
}

void refuse_names(const std::vector<FileToSend>& files) {
  std::vector<std::string> problems;
  for (const FileToSend& file : files) {
    const std::string_view fault = fault_of_file_name(file.path);
    if (!fault.empty()) problems.push_back(file.path.text() + ": " + std::string(fault));
  }
  if (problems.empty()) return;
  throw Error(ErrorKind::Unsupported, join_lines("XNAT does not take these files", problems));
}

}  // namespace

// --- Where to ------------------------------------------------------------------------------------

void XnatUploader::check_type(std::string_view what, const XnatObject& existing) const {
  const bool is_told = !access_.xsi_type.empty() && !existing.xsi_type.empty();
  if (!is_told || existing.xsi_type == access_.xsi_type) return;
  throw Error(ErrorKind::AlreadyExists, "the " + std::string(what) + " " + existing.id +
                                            " exists and is of type " + existing.xsi_type +
                                            ", not " + access_.xsi_type + " (xsiType)");
}

/// Only a reconstruction has a type of its own.
void XnatUploader::check_can_make(std::string_view what, const std::string& name) const {
  if (!access_.xsi_type.empty() || what == "reconstructions") return;
  throw Error(ErrorKind::NotFound, "there is no " + name + " in " + std::string(what) +
                                       ", and without xsiType none can be made");
}

XnatUploader::Owner XnatUploader::find_owner(const RequestContext& context) const {
  if (access_.session) return find_session(context);
  if (!access_.subject) return {project_path(finder_.project(context))};
  const auto found = finder_.subject(context);
  return {subject_path(found.project, found.object->id)};
}

XnatUploader::Owner XnatUploader::find_session(const RequestContext& context) const {
  if (access_.container) {
    return find_container(finder_.session(context).object->id, context);
  }
  const auto found = finder_.find_session(context);
  if (found.object) {
    check_type("session", *found.object);
    return {experiment_path(found.object->id)};
  }
  check_can_make("experiments", *access_.session);
  if (!access_.subject) {
    throw Error(ErrorKind::NotFound, "there is no session " + *access_.session +
                                         ", and without subject none can be made");
  }
  return {subject_path(found.project, *access_.subject) + "/experiments/" +
              encode_object_name(*access_.session),
          true};
}

XnatUploader::Owner XnatUploader::find_container(const std::string& experiment,
                                                 const RequestContext& context) const {
  const XnatContainerType type = *access_.container_type;
  const auto existing = finder_.find_container(experiment, context);
  if (!existing) {
    check_can_make(name_of(type), *access_.container);
    return {container_path(experiment, type, *access_.container), true};
  }
  check_type("container", *existing);
  return {container_path(experiment, type, existing->id)};
}

std::string XnatUploader::prepare(const RequestContext& context) {
  const Owner owner = find_owner(context);
  if (owner.is_missing) {
    const std::string query =
        access_.xsi_type.empty() ? "" : "xsiType=" + encode_object_name(access_.xsi_type);
    make(owner.path, query, context);
  } else if (const auto resource = finder_.find_resource(owner.path, context)) {
    return resource_path(owner.path, resource->id);
  }
  const std::string path = resource_path(owner.path, *access_.resource);
  make(path, {}, context);
  return path;
}

/// 409: somebody else was faster.
void XnatUploader::make(const std::string& path, std::string_view query,
                        const RequestContext& context) const {
  Url url = queries_.url(path);
  const std::string shown = url.to_display();
  url.query = query;
  url.has_query = !query.empty();
  const HttpResponseHead head = exchange_for_head(
      queries_.session(),
      {.method = "PUT", .url = url.to_string(), .stall_timeout = kUploadPatience}, context);
  if ((head.status >= 200 && head.status < 300) || head.status == 409) return;
  throw error_for_status(head, "PUT", shown);
}

// --- What is there -------------------------------------------------------------------------------

XnatCatalog XnatUploader::catalog(const std::string& resource,
                                  const RequestContext& context) const {
  return {queries_.files(resource, context), "GET " + queries_.url(resource).to_display()};
}

void XnatUploader::refuse_conflicts(const XnatCatalog& catalog,
                                    const std::vector<FileToSend>& files) const {
  refuse_misplaced(catalog, files);
  if (!access_.overwrites) refuse_existing(catalog, files);
}

/// XNAT's catalogs take a file and a directory of the same name, and are of no use afterwards.
void XnatUploader::refuse_misplaced(const XnatCatalog& catalog,
                                    const std::vector<FileToSend>& files) {
  std::vector<std::string> misplaced;
  for (const FileToSend& file : files) {
    if (catalog.find_directory(file.path) != nullptr) {
      misplaced.push_back(file.path.text() + ": is a directory there");
    }
    for (RemotePath above = file.path.parent(); !above.is_root(); above = above.parent()) {
      if (catalog.find_file(above) == nullptr) continue;
      misplaced.push_back(file.path.text() + ": " + above.text() + " is a file there");
    }
  }
  if (misplaced.empty()) return;
  throw Error(ErrorKind::AlreadyExists,
              join_lines("the resource has no place for these files", misplaced));
}

/// What our own earlier attempt has left is not somebody else's.
void XnatUploader::refuse_existing(const XnatCatalog& catalog,
                                   const std::vector<FileToSend>& files) const {
  std::vector<std::string> existing;
  for (const FileToSend& file : files) {
    if (catalog.find_file(file.path) != nullptr && !begun_.contains(file.path)) {
      existing.push_back(file.path.text());
    }
  }
  if (existing.empty()) return;
  throw Error(ErrorKind::AlreadyExists,
              join_lines("the resource has these files already (overwriteExistingFile)", existing));
}

void XnatUploader::check(const RequestContext& context) {
  std::vector<FileToSend> files;
  if (access_.file) files.push_back({*access_.file, 0, {}});
  refuse_names(files);
  const Owner owner = find_owner(context);
  if (owner.is_missing || files.empty()) return;
  const auto resource = finder_.find_resource(owner.path, context);
  if (!resource) return;
  const std::lock_guard lock(mutex_);
  refuse_conflicts(catalog(resource_path(owner.path, resource->id), context), files);
}

/// The catalog is the only witness.
void XnatUploader::prove(const std::string& resource, const SentFiles& sent,
                         const RequestContext& context) const {
  const XnatCatalog after = catalog(resource, context);
  std::vector<std::string> missing;
  for (const auto& [path, file] : sent) {
    const XnatCatalogEntry* entry = after.find_file(path);
    if (entry == nullptr) {
      missing.push_back(path.text());
      continue;
    }
    const std::uint64_t size = entry->size ? *entry->size : size_of(resource, path, context);
    const bool has_other_digest =
        entry->checksum && !file.md5.empty() && entry->checksum->hex != file.md5;
    if (size == file.size && !has_other_digest) continue;
    throw Error(ErrorKind::Integrity,
                path.text() + ": the server has " + std::to_string(size) + " bytes" +
                    (entry->checksum ? " of MD5 " + entry->checksum->hex : "") + ", sent were " +
                    std::to_string(file.size) + (file.md5.empty() ? "" : " of MD5 " + file.md5));
  }
  if (missing.empty()) return;
  throw Error(
      ErrorKind::PermissionDenied,
      join_lines("the server has answered with success, but does not have these files; "
                 "may the user " +
                     access_.username + " write to " + queries_.url(resource).to_display() + "?",
                 missing));
}

std::uint64_t XnatUploader::size_of(const std::string& resource, const RemotePath& path,
                                    const RequestContext& context) const {
  const Url url = queries_.url(file_path(resource, path));
  const HttpResponseHead head =
      exchange_for_head(queries_.session(), {.method = "HEAD", .url = url.to_string()}, context);
  if (head.status != 200) throw error_for_status(head, "HEAD", url.to_display());
  return head.content_length().value_or(0);
}

// --- Sending -------------------------------------------------------------------------------------

void XnatUploader::upload(const RemotePath& path, ByteSource& source, const LocalAttributes&,
                          const RequestContext& context) {
  const RemotePath target = path.is_root() && access_.file ? *access_.file : path;
  const std::vector<FileToSend> files{
      {target, source.size(), [&source] { return std::make_unique<BorrowedSource>(source); }}};
  refuse_names(files);
  const std::lock_guard lock(mutex_);
  const std::string resource = prepare(context);
  refuse_conflicts(catalog(resource, context), files);
  SentFiles sent;
  if (source.size() > 0 && is_kept_by_upload(target)) {
    sent[target] = send_plain(resource, target, source, context);
  } else {
    send_archive(
        resource, {&files[0]}, [](std::int64_t) {}, sent, context);
  }
  prove(resource, sent, context);
}

void XnatUploader::upload_tree(const std::vector<FileToSend>& files,
                               const std::function<void(std::int64_t)>& on_sent,
                               const RequestContext& context) {
  refuse_names(files);
  const std::lock_guard lock(mutex_);
  const std::string resource = prepare(context);
  refuse_conflicts(catalog(resource, context), files);
  SentFiles sent;
  std::vector<const FileToSend*> pack;
  std::uint64_t bytes = 0;
  const auto send_what_is_packed = [&] {
    if (!pack.empty()) send_pack(resource, pack, on_sent, sent, context);
    pack.clear();
    bytes = 0;
  };
  for (const FileToSend& file : files) {
    if (file.size > kMaxArchive && is_kept_by_upload(file.path)) {
      const auto source = file.open();
      sent[file.path] = send_plain(resource, file.path, *source, context);
      on_sent(static_cast<std::int64_t>(file.size));
      continue;
    }
    if (bytes + file.size > kMaxArchive || pack.size() == ZipSource::kMaxFiles)
      send_what_is_packed();
    pack.push_back(&file);
    bytes += file.size;
  }
  send_what_is_packed();
  prove(resource, sent, context);
}

Url XnatUploader::upload_url(const std::string& resource, const std::string& name,
                             std::string_view query) const {
  Url url = queries_.url(resource + "/files/" + name);
  url.query = "inbody=true" + std::string(query);
  url.has_query = true;
  return url;
}

/// A failed attempt may have left bytes that are in no catalog: only overwriting gets past them.
XnatUploader::Sent XnatUploader::send_plain(const std::string& resource, const RemotePath& path,
                                            ByteSource& source, const RequestContext& context) {
  const bool overwrites = access_.overwrites || begun_.contains(path);
  begun_.insert(path);
  const auto body = std::make_shared<DigestedSource>(source);
  put(upload_url(resource, encode_file_path(path), overwrites ? "&overwrite=true" : ""), body,
      context);
  return {source.size(), body->md5(), 0};
}

/// Reads it once: an archive has the CRC-32 of a file before its content.
XnatUploader::Sent XnatUploader::describe(const FileToSend& file, const RequestContext& context) {
  const auto source = file.open();
  Digest md5(DigestAlgorithm::Md5);
  uLong crc = ::crc32(0, nullptr, 0);
  std::vector<std::byte> buffer(kPiece);
  for (std::uint64_t offset = 0;;) {
    const std::size_t count = source->read_at(offset, buffer);
    if (count == 0) break;
    if (context.stop.stop_requested()) throw Error(ErrorKind::Cancelled, "called off");
    md5.update(std::span(buffer).first(count));
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(buffer.data()), static_cast<uInt>(count));
    offset += count;
  }
  return {source->size(), md5.hex(), static_cast<std::uint32_t>(crc)};
}

void XnatUploader::send_pack(const std::string& resource,
                             const std::vector<const FileToSend*>& files,
                             const std::function<void(std::int64_t)>& on_sent, SentFiles& sent,
                             const RequestContext& context) {
  if (!refuses_archives_) {
    try {
      return send_archive(resource, files, on_sent, sent, context);
    } catch (const Error& error) {
      refuses_archives_ =
          error.kind() == ErrorKind::Remote || error.kind() == ErrorKind::Unsupported;
      if (!refuses_archives_) throw;
      log(LogLevel::Info, error.message() + ": sending file by file");
    }
  }
  for (const FileToSend* file : files) {
    if (file->size == 0 || !is_kept_by_upload(file->path)) {
      send_archive(resource, {file}, on_sent, sent, context);
      continue;
    }
    const auto source = file->open();
    sent[file->path] = send_plain(resource, file->path, *source, context);
    on_sent(static_cast<std::int64_t>(file->size));
  }
}

void XnatUploader::send_archive(const std::string& resource,
                                const std::vector<const FileToSend*>& files,
                                const std::function<void(std::int64_t)>& on_sent, SentFiles& sent,
                                const RequestContext& context) {
  const auto archive = std::make_shared<ZipSource>(on_sent);
  bool overwrites = access_.overwrites;
  for (const FileToSend* file : files) {
    const Sent& described = sent[file->path] = describe(*file, context);
    archive->add(*file, described.crc);
    overwrites = overwrites || !begun_.insert(file->path).second;
  }
  archive->finish();
  const std::string query = overwrites ? "&extract=true&overwrite=true" : "&extract=true";
  try {
    put(upload_url(resource, random_name(), query), archive, context);
  } catch (...) {
    on_sent(-archive->sent());
    throw;
  }
}

void XnatUploader::put(const Url& url, std::shared_ptr<ByteSource> body,
                       const RequestContext& context) const {
  const std::string shown = url.to_display();
  HttpRequest request{.method = "PUT",
                      .url = url.to_string(),
                      .headers = {{"Content-Type", "application/octet-stream"}},
                      .own_connection = body->size() >= kBulkFrom,
                      .stall_timeout = kUploadPatience};
  request.body = std::move(body);
  const HttpResponse response =
      exchange(queries_.session(), std::move(request), context, kMaxAnswer);
  const int status = response.head.status;
  if (status == 500) {
    // XNAT's answer when another upload came between as well.
    throw Error(ErrorKind::Unavailable, error_for_status(response.head, "PUT", shown).message());
  }
  if (status < 200 || status >= 300) throw error_for_status(response.head, "PUT", shown);
  if (response.body.find("\"duplicates\"") == std::string::npos) return;
  throw Error(ErrorKind::AlreadyExists,
              "PUT " + shown + ": the resource got such a file meanwhile (overwriteExistingFile)");
}

}  // namespace red
