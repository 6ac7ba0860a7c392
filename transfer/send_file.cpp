#include "transfer/send_file.h"

#include "transfer/local_files.h"
#include "transfer/progress_source.h"

namespace red {

void send_file(RemoteStore& store, const std::filesystem::path& source, const ContentCheck& check,
               Progress& progress, std::stop_token stop) {
  FileSource file(source);
  Uploader* uploader = store.uploader();
  if (uploader == nullptr) {
    throw Error(ErrorKind::Unsupported,
                "sending to " + store.location({}) + ": this protocol cannot send");
  }
  progress.expect(1, file.size());
  ProgressSource counted(file, progress);
  RequestContext context;
  context.stop = std::move(stop);
  try {
    if (check) check_content(check, file, context.stop);
    uploader->upload({}, counted, file.attributes(), context);
  } catch (const Error& error) {
    throw error.within("sending " + source.string());
  }
  progress.file_done();
}

}  // namespace red
