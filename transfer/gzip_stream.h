#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "transfer/byte_stream.h"

namespace red {

/// What is in a gzip file (RFC 1952), one member or several. Checks the CRC and the length of each,
/// which libarchive's own filter does not, and takes nothing but zeros behind the last. Errors are
/// Error{Protocol}, and those of the compressed stream.
class GzipStream final : public ByteStream {
 public:
  /// `compressed` must outlive this.
  explicit GzipStream(ByteStream& compressed);
  ~GzipStream() override;

  std::size_t read(std::span<std::byte> buffer) override;

 private:
  struct Inflater;

  bool fill();
  bool begin_member();
  void skip_zeros();

  ByteStream& compressed_;
  std::vector<std::byte> input_;
  std::unique_ptr<Inflater> inflater_;
  bool is_in_member_ = false;
  bool has_had_member_ = false;
};

}  // namespace red
