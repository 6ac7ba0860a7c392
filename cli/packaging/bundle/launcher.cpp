// bin/red-connector of the self-contained package: starts the program with the package's own
// dynamic loader and libraries, so that it needs nothing of the image that it is unpacked in.
// Linked statically; does not even need a shell.
#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

/// The exit code for "a defect of this program"; it is that of the connectors, too.
constexpr int kInternal = 70;

int fail(const char* what, const char* on) {
  std::fprintf(stderr, "red-connector: %s %s: %s\n", what, on, std::strerror(errno));
  return kInternal;
}

/// Cuts the last part off a path. False if there is none.
bool cut_last_part(char* path) {
  char* slash = std::strrchr(path, '/');
  if (slash == nullptr) return false;
  *slash = '\0';
  return true;
}

/// The folder of the package; where links that led here lie does not matter.
bool find_package(char (&folder)[PATH_MAX]) {
  const ssize_t length = ::readlink("/proc/self/exe", folder, sizeof folder - 1);
  if (length < 0) return false;
  folder[length] = '\0';
  return cut_last_part(folder) && cut_last_part(folder);
}

}  // namespace

int main(int argc, char** argv) {
  char package[PATH_MAX];
  if (!find_package(package)) return fail("cannot find itself:", "/proc/self/exe");
  char loader[PATH_MAX + 32];
  char program[PATH_MAX + 32];
  // The loader bears the program's name, because it is what process lists show.
  std::snprintf(loader, sizeof loader, "%s/lib/red-connector", package);
  std::snprintf(program, sizeof program, "%s/lib/program", package);

  // These are made for the image's C library. Everything else in the environment stays, for the
  // image's fusermount3, too; LD_LIBRARY_PATH has no effect beside --library-path.
  ::unsetenv("LD_PRELOAD");
  ::unsetenv("LD_AUDIT");

  char name[] = "red-connector";
  // The loader takes $ORIGIN for the folder of the program: unlike the path itself, it may not hold
  // the colon that separates folders.
  const char* const options[] = {loader,    "--inhibit-cache",         "--library-path", "$ORIGIN",
                                 "--argv0", argc > 0 ? argv[0] : name, program};
  constexpr int kOptions = sizeof options / sizeof *options;
  const int rest = argc > 1 ? argc - 1 : 0;
  const auto size = static_cast<std::size_t>(kOptions + rest + 1);
  const auto arguments = std::unique_ptr<char*[]>(new char*[size]);
  for (int i = 0; i < kOptions; ++i) arguments[i] = const_cast<char*>(options[i]);
  for (int i = 0; i < rest; ++i) arguments[kOptions + i] = argv[i + 1];
  arguments[size - 1] = nullptr;
  ::execv(loader, arguments.get());
  return fail("cannot start", loader);
}
