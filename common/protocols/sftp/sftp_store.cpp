#include "common/protocols/sftp/sftp_store.h"

#include <algorithm>
#include <utility>

#include "common/logging.h"
#include "common/protocols/sftp/sftp_examination.h"
#include "common/protocols/sftp/sftp_file.h"
#include "common/protocols/sftp/sftp_gather.h"

namespace red {
namespace {

// Requests wait in the server, not for a connection of their own: enough for 10,000 small files a
// second at 20 ms.
constexpr int kParallelFiles = 256;

Error not_a(EntryKind kind, const std::string& where) {
  return Error(ErrorKind::Unsupported,
               where + (kind == EntryKind::Directory ? ": is a file, not a directory"
                                                     : ": is a directory, not a file"));
}

}  // namespace

SftpStore::SftpStore(SftpAccess access, Purpose purpose)
    : access_(std::move(access)),
      paths_(access_),
      client_(std::make_shared<SftpClient>(access_)),
      link_policy_(purpose == Purpose::MountDir ? SftpLinks::Policy::KeepInside
                                                : SftpLinks::Policy::Follow),
      links_(client_, paths_, link_policy_),
      uploader_(client_, paths_),
      editor_(client_, paths_, links_) {}

SftpStore::~SftpStore() { client_->stop(); }

int SftpStore::parallelism() const { return kParallelFiles; }

std::optional<Entry> SftpStore::stat(const RemotePath& path, const RequestContext& context) {
  const std::string on_server = links_.on_server(path);
  const bool shows_links = link_policy_ == SftpLinks::Policy::KeepInside && !path.is_root();
  const auto found =
      shows_links ? client_->lstat(on_server, context) : client_->stat(on_server, context);
  if (!found) return std::nullopt;
  auto entry = to_entry(std::string(path.name()), *found);
  if (!entry) {
    throw Error(ErrorKind::Unsupported, location(path) + ": is neither a file nor a directory");
  }
  if (shows_links && links_.is_hidden_link(path, context)) entry->kind = EntryKind::Symlink;
  if (entry->kind != EntryKind::Symlink) return entry;
  std::vector<Entry> entries{std::move(*entry)};
  links_.resolve(path.parent(), entries, context);
  if (entries.empty()) return std::nullopt;
  return std::move(entries.front());
}

/// OpenSSH says of a file that there is no such directory.
std::vector<SftpName> SftpStore::names_in(const RemotePath& directory,
                                          const RequestContext& context) {
  const std::string on_server = links_.on_server(directory);
  try {
    return client_->list(on_server, context);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::Remote) throw;
    const auto found = client_->stat(on_server, context);
    const auto entry = found ? to_entry({}, *found) : std::nullopt;
    if (!entry || entry->kind == EntryKind::Directory) throw;
  }
  throw Error(ErrorKind::Unsupported, location(directory) + ": is a file, not a directory");
}

std::vector<Entry> SftpStore::list(const RemotePath& directory, const RequestContext& context) {
  std::vector<SftpName> names = names_in(directory, context);
  std::vector<Entry> entries;
  entries.reserve(names.size());
  for (SftpName& name : names) {
    if (!RemotePath::is_valid_name(name.name)) {
      log(LogLevel::Warning, location(directory) + ": a name that cannot be one is left out");
      continue;
    }
    auto entry = to_entry(name.name, name.attributes);
    if (entry) {
      entries.push_back(std::move(*entry));
    } else {
      log(link_policy_ == SftpLinks::Policy::Follow ? LogLevel::Warning : LogLevel::Info,
          location(directory.child(name.name)) +
              ": left out: neither a file nor a directory (a pipe, a socket or a device)");
    }
  }
  links_.resolve(directory, entries, context);
  return entries;
}

std::shared_ptr<RemoteFile> SftpStore::open(const RemotePath& path, const Version& known) {
  return std::make_shared<SftpFile>(client_, links_.on_server(path), known);
}

// --- validation ---

std::optional<Asker> SftpStore::asker() const {
  Asker asker;
  for (const std::string& part : {std::string("sftp"), access_.username, access_.host_key}) {
    asker.name += std::to_string(part.size()) + ":" + part;
  }
  // Which key it is may decide what a server shows to one and the same user (sshd(8),
  // AUTHORIZED_KEYS FILE FORMAT).
  asker.secret = access_.private_key ? "key:" + *access_.private_key
                                     : "password:" + access_.password.value_or("");
  return asker;
}

void SftpStore::check(Purpose purpose, const RequestContext& context) {
  client_->connect(context);
  switch (purpose) {
    case Purpose::ReceiveFile:
      return check_readable_file(context);
    case Purpose::ReceiveDir:
      return check_directory(false, context);
    case Purpose::MountDir:
      return check_directory(access_.writable, context);
    case Purpose::SendFile:
      return check_target(EntryKind::File, context);
    case Purpose::SendDir:
      return check_target(EntryKind::Directory, context);
  }
}

Examination SftpStore::examination() { return examine_sftp(access_, *client_); }

void SftpStore::check_readable_file(const RequestContext& context) {
  const auto entry = stat({}, context);
  if (!entry) throw Error(ErrorKind::NotFound, location({}) + ": does not exist");
  if (entry->kind != EntryKind::File) throw not_a(EntryKind::File, location({}));
  client_->open(paths_.on_server({}), kSftpRead, {}, {}, context)->close(context);
}

void SftpStore::check_directory(bool may_be_missing, const RequestContext& context) {
  const auto entry = stat({}, context);
  if (!entry) {
    if (may_be_missing) return check_target(EntryKind::Directory, context);
    throw Error(ErrorKind::NotFound, location({}) + ": does not exist");
  }
  if (entry->kind != EntryKind::Directory) throw not_a(EntryKind::Directory, location({}));
  SftpGather gather;
  std::optional<Error> refusal;
  gather.begin();
  client_->open_directory(paths_.on_server({}), context,
                          [&](const Error* error, const std::shared_ptr<SftpHandle>&) {
                            if (error != nullptr) refusal = *error;
                            gather.end();
                          });
  gather.wait();
  if (refusal) throw Error(*refusal);
}

/// What is to be sent to may be missing, its parents, too; what of them exists must be directories.
void SftpStore::check_target(EntryKind kind, const RequestContext& context) {
  std::string path = paths_.on_server({});
  auto found = client_->stat(path, context);
  if (found) {
    const auto entry = to_entry({}, *found);
    if (!entry || entry->kind != kind) throw not_a(kind, location({}));
    return;
  }
  while (!found && path.find('/') != std::string::npos && path != "/") {
    path.resize(std::max<std::size_t>(path.rfind('/'), 1));
    found = client_->stat(path, context);
  }
  const auto entry = found ? to_entry({}, *found) : std::nullopt;
  if (entry && entry->kind != EntryKind::Directory) throw not_a(EntryKind::Directory, path);
}

}  // namespace red
