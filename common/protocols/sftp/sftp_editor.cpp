#include "common/protocols/sftp/sftp_editor.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/protocols/sftp/sftp_writable_file.h"

namespace red {
namespace {

/// "Failure" is all that version 3 can say of a name that exists, a directory that is not empty …
// A server that copies says nothing meanwhile: that must not take longer than silence may last.
constexpr std::uint64_t kMostCopied = 64 << 20;

bool is_vague(const Error& error) { return error.kind() == ErrorKind::Remote; }

}  // namespace

SftpEditor::SftpEditor(std::shared_ptr<SftpClient> client, const SftpPaths& paths, SftpLinks& links)
    : client_(std::move(client)), paths_(paths), links_(links) {}

void SftpEditor::explain(const Error& error, const std::string& path,
                         const RequestContext& context) {
  if (is_vague(error) && client_->lstat(path, context)) {
    throw Error(ErrorKind::AlreadyExists, path + ": exists already");
  }
  throw Error(error);
}

std::shared_ptr<WritableFile> SftpEditor::open_for_writing(const RemotePath& path,
                                                           const WriteMode& mode,
                                                           const RequestContext& context) {
  const std::string on_server = paths_.on_server(path);
  std::uint32_t flags = mode.read_only ? kSftpRead : kSftpRead | kSftpWrite;
  std::uint32_t first_flags = flags;
  if (mode.create) first_flags |= kSftpCreate;
  if (mode.exclusive) first_flags |= kSftpExclusive;
  if (mode.truncate) first_flags |= kSftpTruncate;
  SftpAttributes attributes;
  if (mode.create) attributes.mode = mode.mode & kPermissionBits;
  std::shared_ptr<SftpHandle> handle;
  try {
    handle = client_->open(on_server, first_flags, attributes, client_->best_place(), context);
  } catch (const Error& error) {
    if (mode.exclusive) explain(error, on_server, context);
    if (error.kind() != ErrorKind::PermissionDenied || mode.read_only) throw;
    // A file that may be written, but not read.
    flags = kSftpWrite;
    first_flags &= ~static_cast<std::uint32_t>(kSftpRead);
    handle = client_->open(on_server, first_flags, attributes, client_->best_place(), context);
  }
  const auto made = mode.exclusive ? std::optional(wall_clock()) : std::nullopt;
  return std::make_shared<SftpWritableFile>(client_, on_server, flags, std::move(handle), made);
}

void SftpEditor::change(const RemotePath& path, const FileChange& change,
                        const RequestContext& context) {
  const std::string on_server = paths_.on_server(path);
  SftpAttributes now;
  if (needs_other_time(change)) now = client_->stat(on_server, context).value_or(now);
  client_->set_attributes(on_server, to_sftp_attributes(change, now), context);
}

void SftpEditor::remove(const RemotePath& path, const RequestContext& context) {
  client_->remove(paths_.on_server(path), context);
}

void SftpEditor::make_directory(const RemotePath& path, std::uint32_t mode,
                                const RequestContext& context) {
  SftpAttributes attributes;
  attributes.mode = mode & kPermissionBits;
  const std::string on_server = paths_.on_server(path);
  try {
    client_->make_directory(on_server, attributes, context);
  } catch (const Error& error) {
    explain(error, on_server, context);
  }
}

void SftpEditor::remove_directory(const RemotePath& path, const RequestContext& context) {
  const std::string on_server = paths_.on_server(path);
  try {
    client_->remove_directory(on_server, context);
  } catch (const Error& error) {
    if (is_vague(error) && !client_->list(on_server, context).empty()) {
      throw Error::local_io(ENOTEMPTY, on_server);
    }
    throw;
  }
}

/// For a server that would move what the link leads to.
void SftpEditor::move_link(const RemotePath& from, const RemotePath& to, bool replace,
                           const RequestContext& context) {
  const std::string target = links_.text_from(from, to.parent(), context);
  const std::string on_server = paths_.on_server(to);
  if (replace && client_->lstat(on_server, context)) client_->remove(on_server, context);
  make_symlink(to, target, context);
  client_->remove(paths_.on_server(from), context);
}

void SftpEditor::rename(const RemotePath& from, const RemotePath& to, bool replace,
                        const RequestContext& context) {
  if (links_.is_hidden_link(from, context)) return move_link(from, to, replace, context);
  const std::string source = paths_.on_server(from);
  const std::string target = paths_.on_server(to);
  if (!replace) {
    try {
      return client_->rename(source, target, context);
    } catch (const Error& error) {
      explain(error, target, context);
    }
  }
  try {
    return client_->replace(source, target, context);
  } catch (const Error& error) {
    if (is_vague(error)) {
      const auto existing = client_->lstat(target, context);
      const auto entry = existing ? to_entry({}, *existing) : std::nullopt;
      if (entry && entry->kind == EntryKind::Directory) {
        throw Error::local_io(client_->list(target, context).empty() ? EISDIR : ENOTEMPTY, target);
      }
    }
    if (error.kind() != ErrorKind::Unsupported) throw;
  }
  // Version 3 itself does not replace: what is there has to make room first.
  const auto existing = client_->lstat(target, context);
  if (existing) {
    const auto entry = to_entry({}, *existing);
    if (entry && entry->kind == EntryKind::Directory) {
      if (!client_->list(target, context).empty()) throw Error::local_io(ENOTEMPTY, target);
      client_->remove_directory(target, context);
    } else {
      client_->remove(target, context);
    }
  }
  client_->rename(source, target, context);
}

void SftpEditor::make_symlink(const RemotePath& path, const std::string& target,
                              const RequestContext& context) {
  const std::string on_server = paths_.on_server(path);
  try {
    client_->make_symlink(on_server, target, context);
  } catch (const Error& error) {
    explain(error, on_server, context);
  }
}

void SftpEditor::make_hard_link(const RemotePath& existing, const RemotePath& path,
                                const RequestContext& context) {
  const std::string on_server = paths_.on_server(path);
  try {
    client_->make_hard_link(paths_.on_server(existing), on_server, context);
  } catch (const Error& error) {
    explain(error, on_server, context);
  }
}

std::uint64_t SftpEditor::copy(const RemotePath& from, ByteRange range, const RemotePath& to,
                               std::uint64_t offset, const RequestContext& context) {
  const auto target =
      client_->open(paths_.on_server(to), kSftpWrite, {}, client_->best_place(), context);
  const auto source =
      client_->open(links_.on_server(from), kSftpRead, {}, target->place(), context);
  if (source->place() != target->place()) {
    throw Error(ErrorKind::Network, "the connection on which a copy was to be made is lost");
  }
  const std::uint64_t size = source->stat(context).size.value_or(0);
  if (range.begin >= size) return 0;
  const std::uint64_t count = std::min({range.size(), size - range.begin, kMostCopied});
  source->copy_to(*target, range.begin, count, offset, context);
  return count;
}

FileSystemSpace SftpEditor::space(const RequestContext& context) {
  const SftpFileSystem told = client_->file_system(paths_.on_server({}), context);
  return {told.fragment_size,    told.blocks, told.blocks_free,
          told.blocks_available, told.files,  told.files_free};
}

}  // namespace red
