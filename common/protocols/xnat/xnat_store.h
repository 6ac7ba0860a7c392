#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/protocols/xnat/xnat_access.h"
#include "common/protocols/xnat/xnat_file.h"
#include "common/protocols/xnat/xnat_session.h"
#include "common/protocols/xnat/xnat_uploader.h"
#include "common/remote/remote_store.h"

namespace red {

/// What the access data names, for people; without credentials.
std::string location_of(const XnatAccess& access);

/// What an XNAT site has below an object that the access data names: XnatTree says what the
/// directories are. Logs in with the first request.
class XnatStore final : public RemoteStore {
 public:
  /// No I/O. The client must have been made with the options of the access data.
  XnatStore(XnatAccess access, std::shared_ptr<HttpClient> client, Purpose purpose);
  /// Logs out.
  ~XnatStore() override;

  std::optional<Entry> stat(const RemotePath& path, const RequestContext& context) override;
  std::vector<Entry> list(const RemotePath& directory, const RequestContext& context) override;
  std::shared_ptr<RemoteFile> open(const RemotePath& path, const Version& known) override;
  bool listings_are_complete() const override { return true; }
  int parallelism() const override;
  std::string location(const RemotePath& path) const override;
  std::optional<Asker> asker() const override;
  void check(Purpose purpose, const RequestContext& context) override;
  Examination examination() override;
  Uploader* uploader() override;
  TreeUploader* tree_uploader() override;
  TreeEditor* editor() override { return nullptr; }

 private:
  struct Parts;

  XnatFile::Locator locator_for(const RemotePath& path) const;
  XnatFile::Packer packer_for(const RemotePath& path) const;
  HttpResponseHead fetch_head(const Url& url, const RequestContext& context) const;

  const Purpose purpose_;
  /// Shared with files whose place is being looked for.
  const std::shared_ptr<Parts> parts_;
};

}  // namespace red
