#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/remote/remote_store.h"

namespace red {

/// A file that adds something to another one: what is not overridden is passed on.
class ForwardingFile : public RemoteFile {
 public:
  explicit ForwardingFile(std::shared_ptr<RemoteFile> file) : file_(std::move(file)) {}

  void read(std::optional<ByteRange> range, std::shared_ptr<ReadSink> sink,
            const RequestContext& context) override {
    file_->read(range, std::move(sink), context);
  }
  Version version() const override { return file_->version(); }
  std::optional<Checksum> promised_checksum() const override { return file_->promised_checksum(); }
  void distrust() override { file_->distrust(); }

 protected:
  const std::shared_ptr<RemoteFile>& inner() const noexcept { return file_; }

 private:
  const std::shared_ptr<RemoteFile> file_;
};

/// A store that adds something to another one: what is not overridden is passed on. The other one
/// belongs to the derived class, which decides when in its end it goes.
class ForwardingStore : public RemoteStore {
 public:
  explicit ForwardingStore(RemoteStore& inner) : inner_(inner) {}

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override {
    return inner_.stat(path, context);
  }
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override {
    return inner_.list(directory, context);
  }
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override {
    return inner_.open(path, known);
  }
  bool listings_are_complete() const override { return inner_.listings_are_complete(); }
  int parallelism() const override { return inner_.parallelism(); }
  std::string location(const RemotePath& path) const override { return inner_.location(path); }
  std::optional<Asker> asker() const override { return inner_.asker(); }
  void check(Purpose purpose, const RequestContext& context) override {
    inner_.check(purpose, context);
  }
  Examination examination() override { return inner_.examination(); }
  Uploader* uploader() override { return inner_.uploader(); }
  TreeUploader* tree_uploader() override { return inner_.tree_uploader(); }
  TreeEditor* editor() override { return inner_.editor(); }

 private:
  RemoteStore& inner_;
};

}  // namespace red
