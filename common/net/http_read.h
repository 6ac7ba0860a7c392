#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "common/error.h"
#include "common/net/http_client.h"
#include "common/net/http_file.h"
#include "common/remote/remote_store.h"

namespace red {

/// One read of an HttpFile on its way: checks that the answer is what was asked for, and of the
/// same version as all others.
class HttpRead final : public HttpSink, public std::enable_shared_from_this<HttpRead> {
 public:
  HttpRead(std::shared_ptr<HttpFile> file, std::optional<ByteRange> range,
           std::shared_ptr<ReadSink> sink, const RequestContext& context);

  void start();

  bool begin(const HttpResponseHead& head) override;
  bool receive(std::span<const std::byte> bytes) override;
  void finish(const Error* error) noexcept override;

 private:
  void start_at(HttpFile::Address address);
  void check(const HttpResponseHead& head);
  void check_range(const HttpResponseHead& head);
  void check_whole(const HttpResponseHead& head);
  bool is_behind_the_end(const HttpResponseHead& head) const;
  bool begin_sink(const HttpResponseHead& head);
  void end_sink(const Error* error);
  Error too_long() const;
  Error too_short() const;
  Error failure(ErrorKind kind, std::string_view why) const;

  // set once
  const std::shared_ptr<HttpFile> file_;
  const std::optional<ByteRange> range_;
  const std::shared_ptr<ReadSink> sink_;
  const RequestContext context_;

  // on the client's thread
  bool at_remembered_ = false;  ///< at the target of an earlier redirect
  bool starts_over_ = false;    ///< at the file's own URL, after the remembered one failed
  bool has_begun_ = false;
  bool is_complete_ = false;          ///< nothing more is needed, though more may come
  bool is_partial_ = false;           ///< 206
  std::uint64_t offset_ = 0;          ///< of the next byte
  std::optional<std::uint64_t> end_;  ///< offset after the last byte
  std::optional<Error> error_;        ///< found here
};

}  // namespace red
