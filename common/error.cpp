#include "common/error.h"

#include <array>
#include <cerrno>
#include <new>
#include <system_error>

namespace red {
namespace {

struct Row {
  ErrorKind kind;
  std::string_view name;
  int error_number;
  int exit_code;
  bool retryable;
};

// Exit codes are part of the interface: never renumber. 1 is left to shells and runtimes, 130 is
// what a shell reports for an interrupted command, 70 is EX_SOFTWARE of sysexits.h.
constexpr std::array kTable{
    Row{ErrorKind::Usage, "Usage", EINVAL, 2, false},
    Row{ErrorKind::InvalidAccess, "InvalidAccess", EINVAL, 3, false},
    Row{ErrorKind::Authentication, "Authentication", EACCES, 4, false},
    Row{ErrorKind::PermissionDenied, "PermissionDenied", EACCES, 5, false},
    Row{ErrorKind::NotFound, "NotFound", ENOENT, 6, false},
    Row{ErrorKind::AlreadyExists, "AlreadyExists", EEXIST, 7, false},
    Row{ErrorKind::Unsupported, "Unsupported", ENOTSUP, 8, false},
    Row{ErrorKind::Network, "Network", EIO, 9, true},
    Row{ErrorKind::TimedOut, "TimedOut", EIO, 10, true},
    Row{ErrorKind::Tls, "Tls", EIO, 11, false},
    Row{ErrorKind::Unavailable, "Unavailable", EIO, 12, true},
    Row{ErrorKind::Remote, "Remote", EIO, 13, false},
    Row{ErrorKind::Protocol, "Protocol", EIO, 14, false},
    Row{ErrorKind::ChangedRemotely, "ChangedRemotely", ESTALE, 15, false},
    Row{ErrorKind::Integrity, "Integrity", EIO, 16, false},
    Row{ErrorKind::LocalIo, "LocalIo", EIO, 17, false},
    Row{ErrorKind::Mount, "Mount", EIO, 18, false},
    Row{ErrorKind::NotReady, "NotReady", EIO, 19, false},
    Row{ErrorKind::Cancelled, "Cancelled", EINTR, 130, false},
    Row{ErrorKind::Internal, "Internal", EIO, 70, false},
};

constexpr bool table_is_in_enum_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].kind) != i) return false;
  }
  return kTable.size() == static_cast<std::size_t>(ErrorKind::Internal) + 1;
}
static_assert(table_is_in_enum_order(), "every ErrorKind needs its row, in order");

const Row& row_of(ErrorKind kind) noexcept { return kTable[static_cast<std::size_t>(kind)]; }

}  // namespace

std::string_view name_of(ErrorKind kind) noexcept { return row_of(kind).name; }

std::optional<ErrorKind> error_kind_named(std::string_view name) noexcept {
  for (const Row& row : kTable) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

int exit_code_of(ErrorKind kind) noexcept { return row_of(kind).exit_code; }

Error::Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

Error Error::local_io(int error_number, std::string_view what) {
  Error error(ErrorKind::LocalIo,
              std::string(what) + ": " + std::generic_category().message(error_number));
  error.local_error_number_ = error_number;
  return error;
}

int Error::error_number() const noexcept {
  return local_error_number_ != 0 ? local_error_number_ : row_of(kind_).error_number;
}

int Error::exit_code() const noexcept { return row_of(kind_).exit_code; }

bool Error::retryable() const noexcept { return row_of(kind_).retryable && !is_final_; }

Error Error::with_retry_after(std::chrono::milliseconds pause) const {
  Error copy = *this;
  copy.retry_after_ = pause;
  return copy;
}

Error Error::without_retry() const {
  Error copy = *this;
  copy.is_final_ = true;
  return copy;
}

Error Error::within(std::string_view context) const {
  Error copy = *this;
  copy.message_ = std::string(context) + ": " + message_;
  return copy;
}

Error current_exception_as_error() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error::local_io(ENOMEM, "out of memory");
  } catch (const std::exception& exception) {
    return Error(ErrorKind::Internal, std::string("unexpected failure: ") + exception.what());
  } catch (...) {
    return Error(ErrorKind::Internal, "unexpected failure of unknown type");
  }
}

}  // namespace red
