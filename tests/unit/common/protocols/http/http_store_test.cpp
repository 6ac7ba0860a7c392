#include "common/protocols/http/http_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/net/curl_http_client.h"
#include "common/net/http_answer.h"
#include "common/protocols/http/webdav.h"
#include "tests/fakes/text_source.h"
#include "tests/unit/common/net/scripted_server.h"

namespace red::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

RequestContext soon() { return RequestContext::within(30s); }

constexpr const char* kContent = "0123456789";
constexpr const char* kValidators =
    "ETag: \"v1\"\r\nLast-Modified: Tue, 03 Mar 2020 20:01:02 GMT\r\n";

/// Remembers what it is told.
class RecordingSink final : public ReadSink {
 public:
  bool begin(const ReadAnswer& told) override {
    answer = told;
    return true;
  }
  bool receive(std::uint64_t offset, std::span<const std::byte> bytes) override {
    EXPECT_EQ(offset, answer.value().offset + text.size());
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  }
  void finish(const Error* error) noexcept override {
    finished_.set_value(error != nullptr ? std::optional(*error) : std::nullopt);
  }
  std::optional<Error> wait() { return finished_.get_future().get(); }

  std::optional<ReadAnswer> answer;
  std::string text;

 private:
  std::promise<std::optional<Error>> finished_;
};

/// A store on a scripted server, and what the server was asked.
class HttpStoreTest : public ::testing::Test {
 protected:
  void serve(ScriptedServer::Responder responder) {
    server_.emplace(ScriptedServer::answering([this, responder](const WireRequest& request) {
      log_.add(request);
      return responder(request);
    }));
  }

  HttpStore store(std::string_view path = "/data", std::string method = "GET") {
    HttpAccess access;
    access.url = Url::parse(server_->url(path));
    access.method = std::move(method);
    return {access, std::make_shared<CurlHttpClient>(access.client)};
  }

  struct Outcome {
    std::optional<ReadAnswer> answer;
    std::string text;
    std::optional<Error> error;
  };

  static Outcome read(RemoteFile& file, std::optional<ByteRange> range) {
    const auto sink = std::make_shared<RecordingSink>();
    file.read(range, sink, soon());
    auto error = sink->wait();
    return {sink->answer, sink->text, std::move(error)};
  }

  /// Serves one canned answer to everything and reads.
  Outcome read_from(std::string answer, std::optional<ByteRange> range, const Version& known = {},
                    std::string method = "GET") {
    serve([answer](const auto&) { return answer; });
    HttpStore opened = store("/f", std::move(method));
    return read(*opened.open({}, known), range);
  }

  static std::string part(std::string_view content_range, std::string_view body,
                          std::string_view more = "") {
    return http_answer(206, body,
                       "Content-Range: " + std::string(content_range) + "\r\n" + std::string(more));
  }

  RequestLog log_;
  std::optional<ScriptedServer> server_;
};

template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::Internal, "no error at all"};
}

// --- Addresses
// -------------------------------------------------------------------------------------

TEST_F(HttpStoreTest, ChildrenAreEncodedBelowTheBaseAndKeepItsQuery) {
  serve([](const auto&) { return http_answer(200); });
  HttpStore opened = store("/data?key=1");
  opened.stat(RemotePath().child("a b").child("50%#?"), soon());
  opened.stat(RemotePath(), soon());
  EXPECT_THAT(log_.lines(), ElementsAre("HEAD /data/a%20b/50%25%23%3F?key=1", "HEAD /data?key=1"));
}

TEST_F(HttpStoreTest, LocationsHideTheQuery) {
  serve([](const auto&) { return http_answer(200); });
  EXPECT_EQ(store("/data?key=1").location(RemotePath().child("x")), server_->url("/data/x"));
}

// --- stat
// ------------------------------------------------------------------------------------------

TEST_F(HttpStoreTest, StatTellsSizeTimeAndTag) {
  serve([](const auto&) {
    return "HTTP/1.1 200 OK\r\nContent-Length: 12345678901\r\nContent-Type: text/x\r\n" +
           std::string(kValidators) + "\r\n";
  });
  const auto entry = store().stat(RemotePath().child("f"), soon());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "f");
  EXPECT_EQ(entry->kind, EntryKind::File);
  EXPECT_EQ(entry->size, 12345678901U);
  EXPECT_EQ(entry->etag, "\"v1\"");
  EXPECT_EQ(entry->content_type, "text/x");
  EXPECT_TRUE(entry->modified_is_exact);
  EXPECT_EQ(entry->modified, FileTime(std::chrono::seconds(1583265662)));
}

TEST_F(HttpStoreTest, StatOfWhatDoesNotExistIsNothing) {
  serve([](const auto&) { return http_answer(404); });
  EXPECT_FALSE(store().stat(RemotePath(), soon()));
}

TEST_F(HttpStoreTest, StatKnowsADirectoryByTheRedirectToItsSlash) {
  serve([](const auto& request) {
    if (request.target.ends_with('/')) return http_answer(200);
    return http_answer(301, "", "Location: " + request.target + "/\r\n");
  });
  EXPECT_EQ(store().stat(RemotePath().child("d"), soon())->kind, EntryKind::Directory);
  EXPECT_EQ(store("/data/").stat(RemotePath(), soon())->kind, EntryKind::Directory);
}

TEST_F(HttpStoreTest, StatKnowsADirectoryThatMustNotBeListed) {
  serve([](const auto& request) {
    if (request.target.ends_with('/')) return http_answer(403);
    return http_answer(301, "", "Location: " + request.target + "/\r\n");
  });
  HttpStore opened = store();
  EXPECT_EQ(opened.stat(RemotePath().child("d"), soon())->kind, EntryKind::Directory);
  EXPECT_EQ(error_of([&] { opened.check(Purpose::ReceiveFile, soon()); }).kind(),
            ErrorKind::PermissionDenied);
}

TEST_F(HttpStoreTest, StatTakesARedirectToAnotherPageForAFile) {
  serve([](const auto& request) {
    if (request.target == "/login/") return http_answer(200);
    return http_answer(302, "", "Location: /login/\r\n");
  });
  EXPECT_EQ(store().stat(RemotePath().child("d"), soon())->kind, EntryKind::File);
}

TEST_F(HttpStoreTest, StatAsksByGetWhereHeadIsRefusedAndRemembersIt) {
  serve([](const auto& request) {
    if (request.method == "HEAD") return http_answer(405);
    return part("bytes 0-0/777", "x", kValidators);
  });
  HttpStore opened = store();
  EXPECT_EQ(opened.stat(RemotePath(), soon())->size, 777U);
  EXPECT_EQ(opened.stat(RemotePath(), soon())->size, 777U);
  EXPECT_THAT(log_.lines(), ElementsAre("HEAD /data", "GET /data", "GET /data"));
}

TEST_F(HttpStoreTest, StatDoesNotReadAFileToLearnItsSize) {
  server_.emplace([](WireConnection& connection) {
    const auto request = connection.read_request();
    if (request->method == "HEAD") {
      connection.send(http_answer(501));
      if (!connection.read_request()) return;
    }
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nx");
    connection.wait_for_close();
  });
  EXPECT_EQ(store().stat(RemotePath(), soon())->size, 9999999999U);
}

TEST_F(HttpStoreTest, StatOfAnEmptyFileByGetIsNoError) {
  serve([](const auto& request) {
    if (request.method == "HEAD") return http_answer(501);
    return http_answer(416, "", "Content-Range: bytes */0\r\n" + std::string(kValidators));
  });
  EXPECT_EQ(store().stat(RemotePath(), soon())->size, 0U);
}

TEST_F(HttpStoreTest, StatDoesNotBelieveALengthOfZeroWithoutValidator) {
  serve([](const auto&) { return http_answer(200); });
  EXPECT_FALSE(store().stat(RemotePath(), soon())->size);
}

TEST_F(HttpStoreTest, StatThrowsForOtherStatuses) {
  serve([](const auto&) { return http_answer(503, "", "Retry-After: 7\r\n"); });
  const Error error = error_of([&] { store().stat(RemotePath(), soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Unavailable);
  EXPECT_EQ(error.retry_after(), 7s);
  EXPECT_THAT(error.message(), HasSubstr("HTTP 503"));
}

// --- Reading
// ---------------------------------------------------------------------------------------

TEST_F(HttpStoreTest, ReadsARange) {
  const Outcome outcome = read_from(part("bytes 2-4/10", "234", kValidators), ByteRange{2, 5});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "234");
  EXPECT_TRUE(outcome.answer->is_range);
  EXPECT_TRUE(outcome.answer->ranges_supported);
  EXPECT_EQ(outcome.answer->offset, 2U);
  EXPECT_EQ(outcome.answer->version.size, 10U);
  EXPECT_EQ(log_.all().at(0).header("Range"), "bytes=2-4");
  EXPECT_EQ(log_.all().at(0).header("If-Range"), "");
}

TEST_F(HttpStoreTest, ARangeThatEndsBehindTheFileIsCutAtItsEnd) {
  const Outcome outcome = read_from(part("bytes 8-9/10", "89"), ByteRange{8, 100});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "89");
}

TEST_F(HttpStoreTest, ReadsAWholeFile) {
  const Outcome outcome =
      read_from(http_answer(200, kContent, "Accept-Ranges: bytes\r\n"), std::nullopt);
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, kContent);
  EXPECT_FALSE(outcome.answer->is_range);
  EXPECT_TRUE(outcome.answer->ranges_supported);
  EXPECT_EQ(outcome.answer->version.size, 10U);
}

TEST_F(HttpStoreTest, AServerWithoutRangesSendsTheWhole) {
  const Outcome outcome =
      read_from(http_answer(200, kContent, "Accept-Ranges: bytes\r\n"), ByteRange{2, 5});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, kContent);
  EXPECT_EQ(outcome.answer->offset, 0U);
  EXPECT_FALSE(outcome.answer->is_range);
  EXPECT_FALSE(outcome.answer->ranges_supported);
}

TEST_F(HttpStoreTest, TheMethodOfTheAccessDataIsForWholeFilesOnly) {
  serve([](const auto&) { return http_answer(200, kContent, "Accept-Ranges: bytes\r\n"); });
  HttpStore opened = store("/f", "POST");
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, std::nullopt).answer->ranges_supported);
  read(*file, ByteRange{0, 1});
  EXPECT_THAT(log_.lines(), ElementsAre("POST /f", "GET /f"));
  EXPECT_EQ(log_.all().at(0).header("Content-Length"), "0");
}

struct WrongAnswer {
  const char* name;
  std::string answer;
  ErrorKind kind;
};

class WrongRangeAnswer : public HttpStoreTest, public ::testing::WithParamInterface<WrongAnswer> {
 public:
  static std::string part_of(std::string_view range, std::string_view body,
                             std::string_view more = "") {
    return part(range, body, more);
  }
};

TEST_P(WrongRangeAnswer, IsAnErrorBeforeAnyByte) {
  Version known;
  known.size = 10;
  known.etag = "\"v1\"";
  const Outcome outcome = read_from(GetParam().answer, ByteRange{2, 5}, known);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->kind(), GetParam().kind) << outcome.error->message();
  EXPECT_THAT(outcome.text, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Answers, WrongRangeAnswer,
    ::testing::Values(
        WrongAnswer{"NoRange", http_answer(206, "234"), ErrorKind::Protocol},
        WrongAnswer{"OtherStart", WrongRangeAnswer::part_of("bytes 1-4/10", "1234"),
                    ErrorKind::Protocol},
        WrongAnswer{"TooMuch", WrongRangeAnswer::part_of("bytes 2-5/10", "2345"),
                    ErrorKind::Protocol},
        WrongAnswer{"TooLittle", WrongRangeAnswer::part_of("bytes 2-3/10", "23"),
                    ErrorKind::Protocol},
        WrongAnswer{"TooLittleOfUnknown", WrongRangeAnswer::part_of("bytes 2-3/*", "23"),
                    ErrorKind::Protocol},
        WrongAnswer{"Nonsense", WrongRangeAnswer::part_of("bytes 4-2/10", "234"),
                    ErrorKind::Protocol},
        WrongAnswer{"OtherUnit", WrongRangeAnswer::part_of("lines 2-4/10", "234"),
                    ErrorKind::Protocol},
        WrongAnswer{"Multipart",
                    http_answer(206, "--x", "Content-Type: multipart/byteranges; boundary=x\r\n"),
                    ErrorKind::Protocol},
        WrongAnswer{"MultipartAllTheSame",
                    WrongRangeAnswer::part_of("bytes 2-4/10", "--x",
                                              "Content-Type: multipart/byteranges; boundary=x\r\n"),
                    ErrorKind::Protocol},
        WrongAnswer{"MoreBytesThanTheRange", WrongRangeAnswer::part_of("bytes 2-4/10", "23456"),
                    ErrorKind::Protocol},
        WrongAnswer{"OtherTag",
                    WrongRangeAnswer::part_of("bytes 2-4/10", "234", "ETag: \"v2\"\r\n"),
                    ErrorKind::ChangedRemotely},
        WrongAnswer{"OtherSize", WrongRangeAnswer::part_of("bytes 2-4/11", "234"),
                    ErrorKind::ChangedRemotely},
        WrongAnswer{"WholeOfOtherSize", http_answer(200, "012345678"), ErrorKind::ChangedRemotely},
        WrongAnswer{"NotSatisfiable", http_answer(416, "", "Content-Range: bytes */1\r\n"),
                    ErrorKind::ChangedRemotely},
        WrongAnswer{"NoContent", http_answer(204), ErrorKind::ChangedRemotely},
        WrongAnswer{"NotFound", http_answer(404, "page"), ErrorKind::NotFound},
        WrongAnswer{"Forbidden", http_answer(403, "page"), ErrorKind::PermissionDenied},
        WrongAnswer{"NotModified", "HTTP/1.1 304 X\r\n\r\n", ErrorKind::Remote}),
    [](const auto& test) { return test.param.name; });

TEST_F(HttpStoreTest, APartOfWhatWasAskedForWholeIsAProtocolError) {
  const Outcome outcome = read_from(part("bytes 0-9/10", kContent), std::nullopt);
  EXPECT_EQ(outcome.error->kind(), ErrorKind::Protocol);
}

TEST_F(HttpStoreTest, ARangeWhoseChunksEndEarlyIsANetworkError) {
  const Outcome outcome = read_from(
      "HTTP/1.1 206 X\r\nContent-Range: bytes 2-4/10\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\n23\r\n0\r\n\r\n",
      ByteRange{2, 5});
  EXPECT_EQ(outcome.error->kind(), ErrorKind::Network);
}

TEST_F(HttpStoreTest, AWholeFileOfAnotherLengthThanKnownHasChanged) {
  Version known;
  known.size = 10;
  for (const char* chunk : {"4\r\n0123\r\n0\r\n\r\n", "b\r\n0123456789a\r\n0\r\n\r\n"}) {
    const Outcome outcome =
        read_from("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunk),
                  std::nullopt, known);
    EXPECT_EQ(outcome.error->kind(), ErrorKind::ChangedRemotely);
  }
}

TEST_F(HttpStoreTest, TheEndOfAFileOfUnknownSizeTellsIt) {
  serve([](const auto&) {
    return std::string("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  });
  HttpStore opened = store();
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, std::nullopt).error);
  EXPECT_EQ(file->version().size, 3U);
}

TEST_F(HttpStoreTest, ARangeBehindAnUnknownEndIsEmptyAndTellsTheSize) {
  serve([](const auto&) { return http_answer(416, "", "Content-Range: bytes */10\r\n"); });
  HttpStore opened = store();
  const auto file = opened.open({}, {});
  const Outcome outcome = read(*file, ByteRange{20, 30});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "");
  EXPECT_EQ(outcome.answer->version.size, 10U);
  EXPECT_EQ(file->version().size, 10U);
}

TEST_F(HttpStoreTest, TheFirstAnswerPinsTheVersion) {
  std::atomic<int> version = 1;
  serve([&](const auto&) {
    return part("bytes 0-0/10", "0", "ETag: \"v" + std::to_string(version) + "\"\r\n");
  });
  HttpStore opened = store();
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  EXPECT_EQ(file->version().etag, "\"v1\"");
  version = 2;
  EXPECT_EQ(read(*file, ByteRange{0, 1}).error->kind(), ErrorKind::ChangedRemotely);
  EXPECT_FALSE(read(*opened.open({}, {}), ByteRange{0, 1}).error);
}

TEST_F(HttpStoreTest, ARedirectsTargetIsRememberedForRanges) {
  serve([](const auto& request) {
    if (request.target == "/data") return http_answer(302, "", "Location: /there?sig=1\r\n");
    return part("bytes 0-0/10", "0");
  });
  HttpStore opened = store();
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data", "GET /there?sig=1", "GET /there?sig=1"));
}

TEST_F(HttpStoreTest, ARememberedTargetThatRefusesIsForgotten) {
  std::atomic<int> current = 1;
  serve([&](const auto& request) {
    const std::string target = "/" + std::to_string(current);
    if (request.target == "/data") return http_answer(302, "", "Location: " + target + "\r\n");
    return request.target == target ? part("bytes 0-0/10", "0") : http_answer(403, "expired");
  });
  HttpStore opened = store();
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  current = 2;
  const Outcome outcome = read(*file, ByteRange{0, 1});
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.text, "0");
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data", "GET /1", "GET /1", "GET /data", "GET /2"));
}

TEST_F(HttpStoreTest, ARememberedTargetThatIsGoneIsForgotten) {
  std::optional<ScriptedServer> mirror;
  mirror.emplace(ScriptedServer::answering([](const auto& request) {
    EXPECT_EQ(request.header("Authorization"), "");
    return part("bytes 0-0/10", "0");
  }));
  const std::string target = mirror->url("/there");
  std::atomic<bool> is_up = true;
  serve([&](const auto&) {
    return is_up ? http_answer(302, "", "Location: " + target + "\r\n") : part("bytes 0-0/10", "0");
  });
  HttpAccess access;
  access.url = Url::parse(server_->url("/data"));
  access.client.credentials = {HttpCredentials::Scheme::Basic, "anna", "geheim"};
  HttpStore opened(access, std::make_shared<CurlHttpClient>(access.client));
  const auto file = opened.open({}, {});
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
  is_up = false;
  mirror.reset();
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
}

TEST_F(HttpStoreTest, AFileOutlivesItsStore) {
  serve([](const auto&) { return part("bytes 0-0/10", "0"); });
  const auto file = store().open({}, {});
  EXPECT_FALSE(read(*file, ByteRange{0, 1}).error);
}

// --- Listing
// ---------------------------------------------------------------------------------------

// Well below the stall time, after which everything ends.
constexpr auto kLongestWait = 10s;

constexpr const char* kPage =
    "<html><head><title>Index of /data/</title></head><body><h1>Index of /data/</h1><hr><pre>"
    "<a href=\"../\">../</a>\n"
    "<a href=\"page.txt\">page.txt</a>          03-Mar-2020 20:01       10\n"
    "</pre><hr></body></html>";

std::string multistatus(std::string_view name) {
  const std::string body =
      "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">"
      "<D:response><D:href>/data/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/>"
      "</D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
      "<D:response><D:href>/data/" +
      std::string(name) +
      "</D:href><D:propstat><D:prop><D:getcontentlength>10</D:getcontentlength><D:resourcetype/>"
      "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>";
  return http_answer(207, body, "Content-Type: application/xml\r\n");
}

std::string page() { return http_answer(200, kPage, "Content-Type: text/html\r\n"); }

std::vector<std::string> names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.push_back(entry.name);
  return names;
}

TEST_F(HttpStoreTest, ListsByWebDavWhereItIsSpoken) {
  serve([](const auto& request) {
    return request.method == "PROPFIND" ? multistatus("dav.txt") : page();
  });
  HttpStore opened = store();
  EXPECT_THAT(names_of(opened.list({}, soon())), ElementsAre("dav.txt"));
  EXPECT_TRUE(opened.listings_are_complete());
  const auto before = log_.all().size();
  EXPECT_THAT(names_of(opened.list({}, soon())), ElementsAre("dav.txt"));
  ASSERT_EQ(log_.all().size(), before + 1);
  EXPECT_EQ(log_.all().back().method, "PROPFIND");
  EXPECT_EQ(log_.all().back().target, "/data/");
  EXPECT_EQ(log_.all().back().header("Depth"), "1");
  EXPECT_EQ(log_.all().back().body, propfind_body());
}

class PropfindRefused : public HttpStoreTest, public ::testing::WithParamInterface<int> {};

TEST_P(PropfindRefused, ListsByPageAndRemembersThat) {
  serve([](const auto& request) {
    return request.method == "PROPFIND" ? http_answer(GetParam(), "no") : page();
  });
  HttpStore opened = store();
  EXPECT_THAT(names_of(opened.list({}, soon())), ElementsAre("page.txt"));
  EXPECT_FALSE(opened.listings_are_complete());
  opened.list({}, soon());
  EXPECT_EQ(log_.all().size(), 3U);
  EXPECT_EQ(log_.all().back().method, "GET");
}

INSTANTIATE_TEST_SUITE_P(Statuses, PropfindRefused,
                         ::testing::Values(200, 400, 401, 403, 404, 405, 500, 501, 503));

TEST_F(HttpStoreTest, AMalformedMultistatusLeavesThePage) {
  serve([](const auto& request) {
    return request.method == "PROPFIND" ? http_answer(207, "<oops") : page();
  });
  EXPECT_THAT(names_of(store().list({}, soon())), ElementsAre("page.txt"));
}

TEST_F(HttpStoreTest, AnAnswerByWebDavDoesNotWaitForThePage) {
  server_.emplace([](WireConnection& connection) {
    const auto request = connection.read_request();
    if (request && request->method == "PROPFIND") connection.send(multistatus("dav.txt"));
    connection.wait_for_close();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(names_of(store().list({}, soon())), ElementsAre("dav.txt"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLongestWait);
}

TEST_F(HttpStoreTest, AServerThatIsSilentToWebDavIsListedByPage) {
  server_.emplace([](WireConnection& connection) {
    const auto request = connection.read_request();
    if (request && request->method == "GET") connection.send(page());
    connection.wait_for_close();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(names_of(store().list({}, soon())), ElementsAre("page.txt"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLongestWait);
}

TEST_F(HttpStoreTest, AMalformedMultistatusForWhichThePageWasCalledOffLeavesThePage) {
  std::atomic<int> pages = 0;
  server_.emplace([&](WireConnection& connection) {
    while (const auto request = connection.read_request()) {
      if (request->method == "PROPFIND") {
        connection.send(http_answer(207, "<oops"));
      } else if (pages++ == 0) {
        return connection.wait_for_close();
      } else {
        connection.send(page());
      }
    }
  });
  EXPECT_THAT(names_of(store().list({}, soon())), ElementsAre("page.txt"));
}

TEST_F(HttpStoreTest, AMissingDirectoryIsNotFound) {
  serve([](const auto&) { return http_answer(404); });
  EXPECT_EQ(error_of([&] { store().list({}, soon()); }).kind(), ErrorKind::NotFound);
}

TEST_F(HttpStoreTest, MissingRightsAreToldWhicheverWayFindsThem) {
  serve([](const auto& request) { return http_answer(request.method == "GET" ? 404 : 401); });
  EXPECT_EQ(error_of([&] { store().list({}, soon()); }).kind(), ErrorKind::Authentication);
}

TEST_F(HttpStoreTest, AFileIsNoDirectoryAndIsNotReadToFindOut) {
  server_.emplace([](WireConnection& connection) {
    while (const auto request = connection.read_request()) {
      if (request->method == "GET") {
        connection.send(
            "HTTP/1.1 200 X\r\nContent-Type: image/x\r\nContent-Length: 9999999999\r\n\r\nx");
        return connection.wait_for_close();
      }
      connection.send(http_answer(405));
    }
  });
  EXPECT_EQ(error_of([&] { store().list({}, soon()); }).kind(), ErrorKind::Unsupported);
}

// --- Sending
// ---------------------------------------------------------------------------------------

TEST_F(HttpStoreTest, UploadsByTheMethodOfTheAccessData) {
  serve([](const auto&) { return http_answer(201); });
  TextSource source("content");
  store("/up/file", "POST").uploader()->upload({}, source, {}, soon());
  store("/up", "PUT").uploader()->upload(RemotePath().child("a b"), source, {}, soon());
  EXPECT_THAT(log_.lines(), ElementsAre("POST /up/file", "PUT /up/a%20b"));
  EXPECT_EQ(log_.all().at(0).body, "content");
  EXPECT_EQ(log_.all().at(1).body, "content");
}

TEST_F(HttpStoreTest, APostThatWasSentIsNotRetryable) {
  serve([](const auto&) { return http_answer(503); });
  TextSource source("content");
  const Error post =
      error_of([&] { store("/up", "POST").uploader()->upload({}, source, {}, soon()); });
  EXPECT_FALSE(post.retryable());
  EXPECT_THAT(post.message(), HasSubstr("HTTP 503"));
  EXPECT_TRUE(error_of([&] {
                store("/up", "PUT").uploader()->upload({}, source, {}, soon());
              }).retryable());
}

TEST_F(HttpStoreTest, APostOfWhichNothingWasSentIsRetryable) {
  serve([](const auto&) { return http_answer(201); });
  HttpStore opened = store("/up", "POST");
  server_.reset();
  TextSource source("content");
  EXPECT_TRUE(error_of([&] { opened.uploader()->upload({}, source, {}, soon()); }).retryable());
}

TEST_F(HttpStoreTest, APostWhoseConnectionBreaksIsNotRetryable) {
  server_.emplace([](WireConnection& connection) { connection.read_request(); });
  TextSource source("content");
  const Error error =
      error_of([&] { store("/up", "POST").uploader()->upload({}, source, {}, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_FALSE(error.retryable());
  EXPECT_THAT(error.message(), HasSubstr("not repeated"));
}

TEST_F(HttpStoreTest, MakesCollectionsAndTakesExistingOnesForSuccess) {
  std::atomic<int> status = 201;
  serve([&](const auto&) { return http_answer(status); });
  HttpStore opened = store("/up", "PUT");
  opened.uploader()->make_directory(RemotePath().child("d"), {}, soon());
  status = 405;
  opened.uploader()->make_directory({}, {}, soon());
  EXPECT_THAT(log_.lines(), ElementsAre("MKCOL /up/d/", "MKCOL /up/"));
  status = 409;
  EXPECT_EQ(error_of([&] { opened.uploader()->make_directory({}, {}, soon()); }).kind(),
            ErrorKind::NotFound);
  status = 403;
  EXPECT_EQ(error_of([&] { opened.uploader()->make_directory({}, {}, soon()); }).kind(),
            ErrorKind::PermissionDenied);
}

TEST_F(HttpStoreTest, AServerWithoutCollectionsIsAskedOnce) {
  serve([](const auto& request) { return http_answer(request.method == "PUT" ? 201 : 501); });
  HttpStore opened = store("/up", "PUT");
  TextSource source("content");
  opened.uploader()->make_directory(RemotePath().child("d"), {}, soon());
  opened.uploader()->make_directory(RemotePath().child("e"), {}, soon());
  opened.uploader()->upload(RemotePath().child("d").child("f"), source, {}, soon());
  EXPECT_THAT(log_.lines(), ElementsAre("MKCOL /up/d/", "PUT /up/d/f"));
}

TEST_F(HttpStoreTest, ADirectoryThatNoRequestHasMadeIsLookedForAtTheEnd) {
  std::atomic<int> status_of_head = 404;
  serve([&](const auto& request) {
    if (request.method == "HEAD") return http_answer(status_of_head);
    return http_answer(request.method == "PUT" ? 201 : 501);
  });
  HttpStore opened = store("/up", "PUT");
  Uploader& uploader = *opened.uploader();
  const RemotePath with_file = RemotePath().child("d").child("e");
  const RemotePath empty = RemotePath().child("f");
  TextSource source("content");
  for (const RemotePath& path : {RemotePath(), with_file.parent(), with_file, empty}) {
    EXPECT_FALSE(uploader.make_directory(path, {}, soon()));
  }
  uploader.upload(with_file.child("file"), source, {}, soon());
  for (const RemotePath& path : {with_file, with_file.parent(), RemotePath()}) {
    EXPECT_NO_THROW(uploader.finish_directory(path, {}, soon()));
  }
  const Error error = error_of([&] { uploader.finish_directory(empty, {}, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  EXPECT_THAT(error.message(), HasSubstr("HTTP 501"));
  status_of_head = 200;
  EXPECT_NO_THROW(uploader.finish_directory(empty, {}, soon()));
  EXPECT_THAT(log_.lines(),
              ElementsAre("MKCOL /up/", "PUT /up/d/e/file", "HEAD /up/f/", "HEAD /up/f/"));
}

TEST_F(HttpStoreTest, AFileWithoutAPlaceTellsWhyItsDirectoryIsMissing) {
  serve([](const auto& request) { return http_answer(request.method == "PUT" ? 409 : 501); });
  HttpStore opened = store("/up", "PUT");
  TextSource source("content");
  opened.uploader()->make_directory(RemotePath().child("d"), {}, soon());
  const Error error = error_of(
      [&] { opened.uploader()->upload(RemotePath().child("d").child("f"), source, {}, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  EXPECT_THAT(error.message(), HasSubstr("HTTP 501"));
}

TEST_F(HttpStoreTest, AServerThatTakesNoUploadsSaysSoForDirectories) {
  serve([](const auto&) { return http_answer(405); });
  HttpStore opened = store("/up", "PUT");
  TextSource source("content");
  opened.uploader()->make_directory({}, {}, soon());
  const Error error =
      error_of([&] { opened.uploader()->upload(RemotePath().child("f"), source, {}, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  EXPECT_THAT(error.message(), HasSubstr("cannot take a directory"));
}

// --- Validation
// ------------------------------------------------------------------------------------

TEST_F(HttpStoreTest, ValidationOfAReceivedFileNeedsTheFile) {
  std::atomic<int> status = 200;
  serve([&](const auto&) { return http_answer(status); });
  HttpStore opened = store();
  EXPECT_NO_THROW(opened.check(Purpose::ReceiveFile, soon()));
  status = 404;
  const Error error = error_of([&] { opened.check(Purpose::ReceiveFile, soon()); });
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_THAT(error.message(), HasSubstr("HTTP 404"));
}

TEST_F(HttpStoreTest, ValidationOfSendsTakesAnyAnswerButARefusal) {
  std::atomic<int> status = 200;
  serve([&](const auto&) { return http_answer(status); });
  for (const char* method : {"PUT", "POST"}) {
    HttpStore opened = store("/up", method);
    for (const Purpose purpose : {Purpose::SendFile, Purpose::SendDir, Purpose::ReceiveFile}) {
      for (const int answered : {200, 404, 405, 501}) {
        status = answered;
        EXPECT_NO_THROW(opened.check(purpose, soon())) << answered;
      }
      for (const int refused : {401, 403, 500, 503}) {
        status = refused;
        EXPECT_THROW(opened.check(purpose, soon()), Error) << refused;
      }
    }
  }
  for (const auto& request : log_.all()) {
    EXPECT_TRUE(request.method == "HEAD" || request.method == "OPTIONS") << request.method;
  }
}

TEST_F(HttpStoreTest, ValidationOfDirectoriesListsThem) {
  serve(
      [](const auto& request) { return request.method == "PROPFIND" ? http_answer(405) : page(); });
  EXPECT_NO_THROW(store().check(Purpose::MountDir, soon()));
  EXPECT_NO_THROW(store().check(Purpose::ReceiveDir, soon()));
}

// --- Content-Range
// ---------------------------------------------------------------------------------

TEST(ContentRange, ReadsItsForms) {
  EXPECT_EQ(parse_content_range("bytes 2-4/10")->range, (ByteRange{2, 5}));
  EXPECT_EQ(parse_content_range("bytes 2-4/10")->total, 10U);
  EXPECT_FALSE(parse_content_range("bytes 2-4/*")->total);
  EXPECT_FALSE(parse_content_range("bytes */10")->range);
  EXPECT_EQ(parse_content_range("bytes 0-0/18446744073709551615")->total, UINT64_MAX);
  EXPECT_EQ(parse_content_range("bytes 5-14/10")->total, 10U);
}

TEST(ContentRange, RefusesNonsense) {
  for (const char* text : {"", "bytes", "bytes 1-2", "bytes 2-1/5", "bytes -1-2/5", "bytes 1-2/5x",
                           "items 1-2/5", "bytes 1-2/", "bytes 1-99999999999999999999/*",
                           "bytes +1-2/5", "bytes 0-18446744073709551615/*"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

}  // namespace
}  // namespace red::testing
