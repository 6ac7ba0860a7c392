#include "transfer/content_check.h"

#include "common/error.h"

namespace red {
namespace {

class StoppableSource final : public ByteSource {
 public:
  StoppableSource(ByteSource& source, const std::stop_token& stop) : source_(source), stop_(stop) {}

  std::uint64_t size() const override { return source_.size(); }
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) override {
    if (stop_.stop_requested()) throw Error(ErrorKind::Cancelled, "stopped");
    return source_.read_at(offset, buffer);
  }

 private:
  ByteSource& source_;
  const std::stop_token& stop_;
};

}  // namespace

void check_content(const ContentCheck& check, ByteSource& content, const std::stop_token& stop) {
  StoppableSource stoppable(content, stop);
  check(stoppable);
}

}  // namespace red
