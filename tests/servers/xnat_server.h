#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/servers/certificate.h"
#include "tests/servers/server_process.h"
#include "tests/support/file_tree.h"

namespace red::testing {

struct XnatOptions {
  bool tls = false;
  std::string context = {};           ///< the servlet's context path, such as "/xnat"
  bool open = false;                  ///< an open site: who does not log in is the user "guest"
  int requests_per_connection = 100;  ///< then it is closed, as Tomcat does; 0: never
};

/// Whose a project is: its members'; everybody's by name; everybody's to read.
enum class XnatAccess { Private, Protected, Public };

/// What a member of a project may do: all; all but delete; read.
enum class XnatRole { Owner, Member, Collaborator };

/// How a Range field is answered.
enum class XnatRanges {
  AsXnat,  ///< as Restlet 1.1 does: past the end of the file with a wrong length, and then a stall
  Repaired,  ///< as RFC 9110 wants it, with 416; a proxy in front can do that
  Ignored    ///< always the whole file with status 200
};

/// What an object is added with. What is empty is as XNAT would choose it.
struct XnatObject {
  std::string id = {};                    ///< accession ID of a subject, experiment or assessor
  std::optional<std::string> label = {};  ///< in place of the last segment of its
                                          ///< path; of a project, its alias
  std::string xsi_type = {};
  std::string type = {};                  ///< of a scan or a reconstruction
  std::string description = {};           ///< of a project; the series of a scan
  std::optional<XnatAccess> access = {};  ///< of a project; Private at first
  std::string format = {};                ///< of a resource
  std::string content = {};               ///< of a resource
};

/// Requests that go wrong, and how.
struct XnatFault {
  enum class Kind {
    Delay,                   ///< the answer begins `delay` later
    Hold,                    ///< it stops after `bytes` of its body until release()
    Status,                  ///< it is `status` with an HTML page; nothing is done
    LoseAnswer,              ///< the same, but what was asked is done
    Truncate,                ///< the connection ends after `bytes` of the answer's body
    Reset,                   ///< the same, with a TCP reset
    DropUpload,              ///< the connection ends after `bytes` of the request's body; they stay
                             ///< on the server's disk, without an entry in the catalog
    LoginPage,               ///< the HTML of the login page with status 200
    ExpireSession,           ///< the request's session has just expired
    HoldUpload,              ///< between the bytes and the catalog the server waits for release()
    ConcurrentModification,  ///< 500 after the bytes are stored, before the catalog is written
  };
  Kind kind;
  std::string method = {};  ///< empty: any
  std::string path = {};    ///< a part of the target, as sent; empty: any
  int skip = 0;             ///< that many requests still go well
  int times = -1;           ///< then that many go wrong; -1: all
  std::chrono::milliseconds delay{0};
  std::uint64_t bytes = 0;  ///< of an answer, 0: before its head
  int status = 500;
};

/// One request as it was answered. Requests on the way are not among them.
struct XnatRequest {
  std::string kind;  ///< "login", "logout", "list", "files" (of a resource), "file", "archive",
                     ///< "upload", "delete", "create", "item" or "other"
  std::string method;
  std::string target;  ///< as sent
  int status;
  std::string range;         ///< the Range field, empty if none
  std::string user;          ///< who it was done for, empty if refused
  int connection;            ///< numbers connections from 1
  std::uint64_t bytes_sent;  ///< of the body
};

/// Sums since the start or since forget_requests().
struct XnatCounters {
  std::map<std::string, int> requests;  ///< by XnatRequest::kind
  int logins = 0;                       ///< sessions begun by a user who is not guest
  int failed_logins = 0;         ///< wrong name or password, a locked account, too many sessions
  int logouts = 0;               ///< sessions ended on request
  int live_sessions = 0;         ///< now, of users who are not guest
  int open_connections = 0;      ///< now
  int most_connections = 0;      ///< open at the same time, since forget_requests()
  std::uint64_t bytes_sent = 0;  ///< of bodies
  std::uint64_t bytes_received = 0;
};

/// A stand-in for XNAT 1.8; XNAT.md says what it imitates. Objects are named by their path in the
/// REST API below /data, not encoded: "projects/P/subjects/S/experiments/E/scans/1/resources/R".
/// All calls throw std::runtime_error if the server refuses them. Nothing outlives stop().
class XnatServer : public ServerProcess {
 public:
  explicit XnatServer(XnatOptions options = {});

  /// What to trust to talk to it (TLS only).
  std::filesystem::path authority() const { return certificate_->certificate; }
  /// The address to give to a client: url() with the context.
  std::string base_url() const;

  /// The site's administrator, who may do everything.
  std::string username() const { return "admin"; }
  std::string password() const { return "s3cret: %pass"; }
  void add_user(std::string_view name, std::string_view password);
  void grant(std::string_view project, std::string_view user, XnatRole role);

  // --- What is there ---------------------------------------------------------------------------
  /// Adds an object and what is missing above it; returns its ID (a resource's is a number).
  std::string add(std::string_view path, const XnatObject& object = {});
  /// Adds a file to a resource, which is added if it is missing; `name` may have directories.
  void add_file(std::string_view resource, std::string_view name, std::string_view content);
  /// Adds `count` files of `size` bytes at once: "{}" in `name` is their number, five digits, from
  /// 0. Their contents are generated_content(number + seed, size) and take no space anywhere.
  void add_files(std::string_view resource, std::string_view name, int count, std::size_t size,
                 int seed = 0);
  static std::string generated_name(std::string_view name, int number);
  static std::string generated_content(int seed, std::size_t size);
  /// The time of a file.
  void set_modified(std::string_view resource, std::string_view name,
                    std::chrono::sys_seconds modified);
  /// The file of that name, or all below the directory.
  void remove_files(std::string_view resource, std::string_view name);
  void remove(std::string_view path);
  /// Makes the subject or experiment at `path` visible in another project as well.
  void share(std::string_view path, std::string_view project, std::string_view label);

  /// The files of a resource as its catalog has them; those whose names begin with `prefix`.
  FileTree files(std::string_view resource, std::string_view prefix = "") const;
  /// The objects and resources directly below `path` ("" is the site), as segments of a path.
  std::vector<std::string> children(std::string_view path) const;

  // --- What is wrong with it -------------------------------------------------------------------
  /// What the catalog says of a file, right or wrong; empty texts as well.
  void set_entry(std::string_view resource, std::string_view name, std::optional<std::string> size,
                 std::optional<std::string> digest);
  /// The file itself goes or changes, its entry in the catalog stays.
  void lose_file(std::string_view resource, std::string_view name);
  void change_file(std::string_view resource, std::string_view name, std::string_view content);
  void add_fault(const XnatFault& fault);
  void clear_faults();
  /// Lets every held answer go on and ends the faults that hold.
  void release();
  /// Waits until `count` answers are held; false after `limit`.
  bool wait_for_held(int count, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;

  // --- How the site is set ---------------------------------------------------------------------
  void set_ranges(XnatRanges ranges);
  /// How long a broken range stalls before the connection ends; 20 s at first.
  void set_stall(std::chrono::milliseconds stall);
  void set_session_timeout(std::chrono::milliseconds timeout);
  void set_max_sessions(int count);
  /// How an expired session is answered: by the login page with status 200, else by 401.
  void set_login_page(bool login_page);
  /// Whether an open site gives guests a cookie, as it does at first; it may do so later only.
  void set_guest_cookies(bool guest_cookies);
  /// Whether catalogs have MD5 digests; they do at first.
  void set_checksums(bool checksums);
  /// Whether `all=true` adds what scans and the like have to a session's resources, else it is
  /// ignored.
  void set_lists_all(bool lists_all);
  /// What lists call the category of resources that are none of a scan or the like; "resources" at
  /// first.
  void set_own_category(std::string_view category);
  /// How long reading and writing a catalog take each.
  void set_catalog_time(std::chrono::milliseconds time);
  /// Whether an upload that another one overtook fails, else the other's entry is lost, as before
  /// XNAT 1.7.6.
  void set_lost_updates_refused(bool refused);
  void expire_sessions();
  void drop_connections();

  // --- What was asked --------------------------------------------------------------------------
  XnatCounters counters() const;
  std::vector<XnatRequest> requests() const;
  void forget_requests();

 private:
  Command command() const override;
  void write_settings() const;
  /// Has the server carry out `verb` with `arguments`, a JSON object; returns the answer, another.
  std::string control(std::string_view verb, const std::string& arguments = "{}") const;
  /// A file that hands `content` over to the server.
  std::filesystem::path pass(std::string_view content) const;

  XnatOptions options_;
  ReservedPort control_port_;
  std::optional<Certificate> certificate_;
  mutable int passed_ = 0;  ///< names the files that contents are handed over in
};

}  // namespace red::testing
