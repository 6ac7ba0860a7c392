#include "common/net/curl_http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include "tests/fakes/text_source.h"
#include "tests/unit/common/net/scripted_server.h"

namespace red::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::size_t kMaxBody = 64 << 20;

RequestContext soon() { return RequestContext::within(30s); }

HttpRequest get(std::string url) { return {.method = "GET", .url = std::move(url)}; }

HttpClientOptions with_credentials(HttpCredentials::Scheme scheme) {
  HttpClientOptions options;
  options.credentials = {scheme, "anna", "geheim"};
  return options;
}

/// One on which nobody listens any more.
int closed_port() {
  const ScriptedServer server([](WireConnection&) {});
  return server.port();
}

HttpRequest with_body(std::string method, std::string url, std::string body) {
  return {.method = std::move(method),
          .url = std::move(url),
          .body = std::make_shared<TextSource>(std::move(body))};
}

/// Lets a test look into an exchange and refuse.
class WatchingSink final : public HttpSink {
 public:
  std::function<bool(const HttpResponseHead&)> on_begin = [](const auto&) { return true; };
  std::function<bool(std::span<const std::byte>)> on_bytes = [](auto) { return true; };

  bool begin(const HttpResponseHead& head) override { return on_begin(head); }
  bool receive(std::span<const std::byte> bytes) override {
    received += bytes.size();
    return on_bytes(bytes);
  }
  void finish(const Error* error) noexcept override {
    finished_.set_value(error != nullptr ? std::optional(*error) : std::nullopt);
  }
  /// What it ended with.
  std::optional<Error> wait() { return finished_.get_future().get(); }

  std::size_t received = 0;

 private:
  std::promise<std::optional<Error>> finished_;
};

Error error_of(HttpClient& client, HttpRequest request, const RequestContext& context = soon()) {
  try {
    exchange(client, std::move(request), context, kMaxBody);
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::Internal, "no error at all"};
}

// --- Answers
// ---------------------------------------------------------------------------------------

TEST(CurlHttpClient, ReturnsStatusHeadersAndBody) {
  ScriptedServer server(ScriptedServer::answering(
      [](const auto&) { return http_answer(404, "gone", "ETag: \"x\"\r\netag: \"y\"\r\n"); }));
  CurlHttpClient client({});
  const auto response = exchange(client, get(server.url("/a?b=c")), soon(), kMaxBody);
  EXPECT_EQ(response.head.status, 404);
  EXPECT_EQ(response.head.headers.find("eTaG"), "\"x\"");
  EXPECT_EQ(response.head.content_length(), 4U);
  EXPECT_EQ(response.head.url, server.url("/a?b=c"));
  EXPECT_EQ(response.body, "gone");
}

TEST(CurlHttpClient, AsksForUnencodedBytesAndNamesItself) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return http_answer(200);
  }));
  CurlHttpClient client({});
  exchange(client, get(server.url("/")), soon(), kMaxBody);
  EXPECT_EQ(log.all().at(0).header("Accept-Encoding"), "identity");
  EXPECT_EQ(log.all().at(0).header("User-Agent"), "red-connector/1.0.0");
}

TEST(CurlHttpClient, RefusesAnAnswerWhoseLengthIsNoNumber) {
  std::string lengths;
  ScriptedServer server(ScriptedServer::answering(
      [&](const auto&) { return "HTTP/1.1 200 OK\r\n" + lengths + "\r\nbytes"; }));
  for (const char* each : {"Content-Length: 99999999999999999999999\r\n",
                           "Content-Length: 5\r\nContent-Length: 6\r\n"}) {
    lengths = each;
    CurlHttpClient client({});
    EXPECT_EQ(error_of(client, get(server.url("/"))).kind(), ErrorKind::Protocol) << each;
  }
}

TEST(CurlHttpClient, SkipsInterimAnswers) {
  ScriptedServer server(ScriptedServer::answering([](const auto&) {
    return "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http_answer(200, "body");
  }));
  CurlHttpClient client({});
  const auto response = exchange(client, get(server.url("/")), soon(), kMaxBody);
  EXPECT_EQ(response.head.status, 200);
  EXPECT_FALSE(response.head.headers.find("Link"));
}

TEST(CurlHttpClient, DecodesChunksAndKeepsTheConnection) {
  ScriptedServer server(ScriptedServer::answering([](const auto&) {
    return std::string(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n");
  }));
  CurlHttpClient client({});
  for (int i = 0; i < 2; ++i) {
    const auto response = exchange(client, get(server.url("/")), soon(), kMaxBody);
    EXPECT_EQ(response.body, "abcde");
    EXPECT_FALSE(response.head.content_length());
    EXPECT_FALSE(response.head.headers.find("X-Trailer"));
  }
  EXPECT_EQ(server.connections(), 1U);
}

TEST(CurlHttpClient, DoesNotWaitForABodyAfterHead) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
    connection.wait_for_close();
  });
  CurlHttpClient client({});
  const auto response =
      exchange(client, {.method = "HEAD", .url = server.url("/")}, soon(), kMaxBody);
  EXPECT_EQ(response.head.content_length(), 99999999999U);
}

TEST(CurlHttpClient, SpeaksToIpv6Addresses) {
  ScriptedServer server(
      ScriptedServer::answering([](const auto&) { return http_answer(200, "6"); }), true);
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "6");
}

TEST(CurlHttpClient, FindsANameThatHasSeveralAddresses) {
  // Only on IPv4, while localhost usually is ::1 first.
  ScriptedServer server(
      ScriptedServer::answering([](const auto&) { return http_answer(200, "4"); }));
  CurlHttpClient client({});
  const std::string url = "http://localhost:" + std::to_string(server.port()) + "/";
  EXPECT_EQ(exchange(client, get(url), soon(), kMaxBody).body, "4");
}

TEST(CurlHttpClient, RunsManyExchangesOverFewConnections) {
  ScriptedServer server(ScriptedServer::answering(
      [](const auto& request) { return http_answer(200, request.target); }));
  HttpClientOptions options;
  options.max_connections = 3;
  CurlHttpClient client(options);
  std::vector<std::shared_ptr<WatchingSink>> sinks;
  for (int i = 0; i < 200; ++i) {
    sinks.push_back(std::make_shared<WatchingSink>());
    client.start(get(server.url("/" + std::to_string(i))), sinks.back(), soon());
  }
  for (const auto& sink : sinks) EXPECT_FALSE(sink->wait());
  EXPECT_LE(server.connections(), 3U);
}

TEST(CurlHttpClient, WaitingForAConnectionIsNoConnectTimeout) {
  std::promise<void> arrived;
  std::promise<void> go_on;
  ScriptedServer server([&](WireConnection& connection) {
    connection.read_request();
    arrived.set_value();
    go_on.get_future().wait();
    connection.send(http_answer(200));
    connection.read_request();
    connection.send(http_answer(200));
  });
  HttpClientOptions options;
  options.max_connections = 1;
  options.connect_timeout = 50ms;
  CurlHttpClient client(options);
  const auto first = std::make_shared<WatchingSink>();
  const auto second = std::make_shared<WatchingSink>();
  client.start(get(server.url("/1")), first, soon());
  arrived.get_future().wait();
  client.start(get(server.url("/2")), second, soon());
  EXPECT_EQ(error_of(client, get(server.url("/3")), RequestContext::within(150ms)).kind(),
            ErrorKind::TimedOut);
  go_on.set_value();
  EXPECT_FALSE(first->wait());
  EXPECT_FALSE(second->wait());
}

TEST(CurlHttpClient, ServesDemandBeforeBackground) {
  RequestLog log;
  std::promise<void> arrived;
  std::promise<void> go_on;
  ScriptedServer server([&](WireConnection& connection) {
    while (const auto request = connection.read_request()) {
      log.add(*request);
      if (request->target == "/first") {
        arrived.set_value();
        go_on.get_future().wait();
      }
      connection.send(http_answer(200));
    }
  });
  HttpClientOptions options;
  options.max_connections = 1;
  CurlHttpClient client(options);
  std::vector<std::shared_ptr<WatchingSink>> sinks;
  const auto start = [&](const char* path, Priority priority) {
    RequestContext context = soon();
    context.priority = priority;
    sinks.push_back(std::make_shared<WatchingSink>());
    client.start(get(server.url(path)), sinks.back(), context);
  };
  start("/first", Priority::Demand);
  arrived.get_future().wait();
  // An exchange that ends at once: after it the thread has seen what was started before.
  const auto wait_until_seen = [&] { error_of(client, get("ftp://host/")); };
  start("/background", Priority::Background);
  wait_until_seen();
  start("/demand", Priority::Demand);
  wait_until_seen();
  go_on.set_value();
  for (const auto& sink : sinks) EXPECT_FALSE(sink->wait());
  EXPECT_THAT(log.lines(), ElementsAre("GET /first", "GET /demand", "GET /background"));
}

// --- Redirects
// -------------------------------------------------------------------------------------

TEST(CurlHttpClient, FollowsRelativeRedirectsAndTellsTheLastUrl) {
  ScriptedServer server(ScriptedServer::answering([](const auto& request) {
    if (request.target == "/a/b") return http_answer(302, "page", "Location: ../c?x=1\r\n");
    return http_answer(200, request.target);
  }));
  CurlHttpClient client({});
  const auto response = exchange(client, get(server.url("/a/b")), soon(), kMaxBody);
  EXPECT_EQ(response.body, "/c?x=1");
  EXPECT_EQ(response.head.url, server.url("/c?x=1"));
  EXPECT_EQ(server.connections(), 1U);
}

TEST(CurlHttpClient, DoesNotReadARedirectsEndlessPage) {
  ScriptedServer server([](WireConnection& connection) {
    const auto request = connection.read_request();
    if (request->target == "/end") {
      connection.send(http_answer(200, "there"));
      return connection.wait_for_close();
    }
    connection.send("HTTP/1.1 302 X\r\nLocation: /end\r\n\r\n");
    while (connection.send(std::string(10000, 'x'))) {
    }
  });
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "there");
}

TEST(CurlHttpClient, RefusesARedirectLoop) {
  ScriptedServer server(ScriptedServer::answering([](const auto& request) {
    return http_answer(302, "", request.target == "/a" ? "Location: /b\r\n" : "Location: /a\r\n");
  }));
  CurlHttpClient client({});
  const Error error = error_of(client, get(server.url("/a")));
  EXPECT_EQ(error.kind(), ErrorKind::Protocol);
  EXPECT_THAT(error.message(), HasSubstr("circle"));
}

TEST(CurlHttpClient, FollowsTwentyRedirectsButNotMore) {
  ScriptedServer server(ScriptedServer::answering([](const auto& request) {
    const int left = std::stoi(request.target.substr(1));
    if (left == 0) return http_answer(200, "arrived");
    return http_answer(302, "", "Location: /" + std::to_string(left - 1) + "\r\n");
  }));
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/20")), soon(), kMaxBody).body, "arrived");
  EXPECT_EQ(error_of(client, get(server.url("/21"))).kind(), ErrorKind::Protocol);
}

TEST(CurlHttpClient, RefusesARedirectToAnotherScheme) {
  ScriptedServer server(ScriptedServer::answering(
      [](const auto&) { return http_answer(302, "", "Location: file:///etc/passwd\r\n"); }));
  CurlHttpClient client({});
  EXPECT_EQ(error_of(client, get(server.url("/"))).kind(), ErrorKind::Protocol);
}

class RedirectedUpload : public ::testing::TestWithParam<int> {};

TEST_P(RedirectedUpload, KeepsMethodAndBody) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return request.target == "/to" ? http_answer(201)
                                   : http_answer(GetParam(), "", "Location: /to\r\n");
  }));
  CurlHttpClient client({});
  for (const char* method : {"PUT", "POST"}) {
    const auto request = with_body(method, server.url("/from"), "content");
    EXPECT_EQ(exchange(client, request, soon(), kMaxBody).head.status, 201);
    EXPECT_EQ(log.all().back().method, method);
    EXPECT_EQ(log.all().back().body, "content");
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, RedirectedUpload, ::testing::Values(301, 302, 307, 308));

TEST(CurlHttpClient, KeepsPrivateHeadersFromOtherHosts) {
  RequestLog elsewhere;
  ScriptedServer other(ScriptedServer::answering([&](const auto& request) {
    elsewhere.add(request);
    return http_answer(200);
  }));
  RequestLog here;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    here.add(request);
    const std::string target = request.target == "/from" ? "/to" : other.url("/");
    return http_answer(302, "", "Location: " + target + "\r\n");
  }));
  CurlHttpClient client({});
  HttpRequest request = get(server.url("/from"));
  request.headers.add("X-Public", "all");
  request.private_headers.add("Cookie", "a=b");
  exchange(client, std::move(request), soon(), kMaxBody);
  for (const auto& seen : here.all()) EXPECT_EQ(seen.header("Cookie"), "a=b") << seen.target;
  EXPECT_EQ(here.all().size(), 2U);
  EXPECT_EQ(elsewhere.all().at(0).header("Cookie"), "");
  EXPECT_EQ(elsewhere.all().at(0).header("X-Public"), "all");
}

TEST(CurlHttpClient, SeeOtherBecomesAGetWithoutBody) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return request.target == "/to" ? http_answer(200, "seen")
                                   : http_answer(303, "", "Location: /to\r\n");
  }));
  CurlHttpClient client({});
  const auto request = with_body("POST", server.url("/from"), "content");
  EXPECT_EQ(exchange(client, request, soon(), kMaxBody).body, "seen");
  exchange(client, {.method = "HEAD", .url = server.url("/from")}, soon(), kMaxBody);
  EXPECT_THAT(log.lines(), ElementsAre("POST /from", "GET /to", "HEAD /from", "HEAD /to"));
  EXPECT_EQ(log.all().at(1).header("Content-Length"), "");
}

TEST(CurlHttpClient, CredentialsAndOptionHeadersStayWithTheFirstHost) {
  RequestLog elsewhere;
  ScriptedServer other(ScriptedServer::answering([&](const auto& request) {
    elsewhere.add(request);
    return http_answer(200, "other");
  }));
  RequestLog here;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    here.add(request);
    if (request.target == "/near") return http_answer(302, "", "Location: /far\r\n");
    const std::string far = "http://eve:hack@" + other.authority() + "/x";
    return http_answer(302, "", "Location: " + far + "\r\n");
  }));
  HttpClientOptions options = with_credentials(HttpCredentials::Scheme::Basic);
  options.headers = {{"X-Key", "secret"}};
  CurlHttpClient client(options);
  EXPECT_EQ(exchange(client, get(server.url("/near")), soon(), kMaxBody).body, "other");
  for (const auto& request : here.all()) {
    EXPECT_EQ(request.header("Authorization"), "Basic YW5uYTpnZWhlaW0=");
    EXPECT_EQ(request.header("X-Key"), "secret");
  }
  EXPECT_EQ(elsewhere.all().at(0).header("Authorization"), "");
  EXPECT_EQ(elsewhere.all().at(0).header("X-Key"), "");
}

// --- Authentication
// --------------------------------------------------------------------------------

TEST(CurlHttpClient, SendsABearerToken) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return http_answer(200);
  }));
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Bearer));
  exchange(client, get(server.url("/")), soon(), kMaxBody);
  EXPECT_EQ(log.all().at(0).header("Authorization"), "Bearer geheim");
}

TEST(CurlHttpClient, AnonymousRequestsCarryNothingSecret) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return http_answer(200);
  }));
  HttpClientOptions options = with_credentials(HttpCredentials::Scheme::Basic);
  options.headers = {{"X-Key", "secret"}};
  CurlHttpClient client(options);
  HttpRequest request = get(server.url("/"));
  request.anonymous = true;
  exchange(client, request, soon(), kMaxBody);
  EXPECT_EQ(log.all().at(0).header("Authorization"), "");
  EXPECT_EQ(log.all().at(0).header("X-Key"), "");
}

/// Accepts any Digest answer to the current nonce, counted from 1, without calling an old one
/// stale.
class DigestServer {
 public:
  std::string answer(const WireRequest& request) {
    log.add(request);
    const std::string nonce = "nonce=\"" + std::to_string(nonce_) + "\"";
    const std::string given = request.header("Authorization");
    const auto expected_use = "nc=0000000" + std::to_string(uses_ + 1);
    if (given.find(nonce) != std::string::npos && given.find(expected_use) != std::string::npos) {
      ++uses_;
      return http_answer(200, "welcome");
    }
    return http_answer(401, "who are you",
                       "WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", " + nonce + "\r\n");
  }
  void restart() {
    ++nonce_;
    uses_ = 0;
  }

  RequestLog log;

 private:
  std::atomic<int> nonce_ = 1;
  std::atomic<int> uses_ = 0;
};

TEST(CurlHttpClient, DigestCostsARoundTripOnlyTheFirstTime) {
  DigestServer digest;
  ScriptedServer server(
      ScriptedServer::answering([&](const auto& request) { return digest.answer(request); }));
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Digest));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "welcome");
  }
  EXPECT_THAT(digest.log.all(), SizeIs(4));
}

TEST(CurlHttpClient, DigestTakesANewChallengeThatIsNotCalledStale) {
  DigestServer digest;
  ScriptedServer server(
      ScriptedServer::answering([&](const auto& request) { return digest.answer(request); }));
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Digest));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "welcome");
  }
  digest.restart();
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "welcome");
}

TEST(CurlHttpClient, DigestSendsTheBodyOnlyOnceItIsKnown) {
  DigestServer digest;
  ScriptedServer server(
      ScriptedServer::answering([&](const auto& request) { return digest.answer(request); }));
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Digest));
  exchange(client, with_body("PUT", server.url("/"), "content"), soon(), kMaxBody);
  ASSERT_THAT(digest.log.all(), SizeIs(2));
  EXPECT_EQ(digest.log.all().at(0).body, "");
  EXPECT_EQ(digest.log.all().at(1).body, "content");
}

TEST(CurlHttpClient, WrongDigestCredentialsAreAnAnswerNotALoop) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    const std::string nonce = std::to_string(log.all().size());
    return http_answer(401, "",
                       "WWW-Authenticate: Digest realm=\"r\", nonce=\"" + nonce + "\"\r\n");
  }));
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Digest));
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).head.status, 401);
  EXPECT_THAT(log.all(), SizeIs(2));
}

// --- Sending
// ---------------------------------------------------------------------------------------

TEST(CurlHttpClient, SendsABodyWithItsLength) {
  RequestLog log;
  ScriptedServer server(ScriptedServer::answering([&](const auto& request) {
    log.add(request);
    return http_answer(201);
  }));
  CurlHttpClient client({});
  const std::string large(3 << 20, 'x');
  exchange(client, with_body("PUT", server.url("/small"), "abc"), soon(), kMaxBody);
  exchange(client, with_body("POST", server.url("/large"), large), soon(), kMaxBody);
  exchange(client, with_body("PUT", server.url("/empty"), ""), soon(), kMaxBody);
  const auto requests = log.all();
  ASSERT_THAT(requests, SizeIs(3));
  EXPECT_EQ(requests[0].body, "abc");
  EXPECT_EQ(requests[0].header("Expect"), "");
  EXPECT_TRUE(requests[1].body == large);
  EXPECT_EQ(requests[1].header("Expect"), "100-continue");
  EXPECT_EQ(requests[2].header("Content-Length"), "0");
}

TEST(CurlHttpClient, DoesNotSendALargeBodyThatIsRefusedBeforehand) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_head();
    connection.send(http_answer(413));
    connection.wait_for_close();
  });
  CurlHttpClient client({});
  const auto source = std::make_shared<TextSource>(std::string(8 << 20, 'x'));
  HttpRequest request{.method = "PUT", .url = server.url("/"), .body = source};
  EXPECT_EQ(exchange(client, request, soon(), kMaxBody).head.status, 413);
  EXPECT_EQ(source->reads(), 0);
}

TEST(CurlHttpClient, ASourceThatFailsEndsTheExchangeWithItsError) {
  class BrokenSource final : public ByteSource {
    std::uint64_t size() const override { return 100; }
    std::size_t read_at(std::uint64_t, std::span<std::byte>) override {
      throw Error::local_io(EIO, "disk");
    }
  };
  ScriptedServer server([](WireConnection& connection) { connection.wait_for_close(); });
  CurlHttpClient client({});
  HttpRequest request{
      .method = "PUT", .url = server.url("/"), .body = std::make_shared<BrokenSource>()};
  EXPECT_EQ(error_of(client, request).kind(), ErrorKind::LocalIo);
}

TEST(CurlHttpClient, ASourceThatEndsEarlyIsAnError) {
  class ShrunkSource final : public ByteSource {
    std::uint64_t size() const override { return 100; }
    std::size_t read_at(std::uint64_t, std::span<std::byte>) override { return 0; }
  };
  ScriptedServer server([](WireConnection& connection) { connection.wait_for_close(); });
  CurlHttpClient client({});
  HttpRequest request{
      .method = "PUT", .url = server.url("/"), .body = std::make_shared<ShrunkSource>()};
  EXPECT_EQ(error_of(client, request).kind(), ErrorKind::Integrity);
}

TEST(CurlHttpClient, APostIsNotRepeatedWhenAKeptConnectionDies) {
  RequestLog log;
  ScriptedServer server([&](WireConnection& connection) {
    while (const auto request = connection.read_request()) {
      log.add(*request);
      if (request->method == "POST") return;  // the body has come, no answer follows
      connection.send(http_answer(200));
    }
  });
  HttpClientOptions options;
  options.max_connections = 1;
  CurlHttpClient client(options);
  exchange(client, get(server.url("/")), soon(), kMaxBody);
  const Error error = error_of(client, with_body("POST", server.url("/"), "once"));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(log.lines(), ElementsAre("GET /", "POST /"));
}

TEST(CurlHttpClient, ADigestPostIsNotRepeatedWhenItsConnectionDies) {
  DigestServer digest;
  ScriptedServer server([&](WireConnection& connection) {
    while (const auto request = connection.read_request()) {
      const std::string answer = digest.answer(*request);
      if (!request->body.empty()) return;  // the connection that the challenge came on
      connection.send(answer);
    }
  });
  CurlHttpClient client(with_credentials(HttpCredentials::Scheme::Digest));
  const Error error = error_of(client, with_body("POST", server.url("/"), "once"));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(digest.log.all(), SizeIs(2));
}

TEST(CurlHttpClient, AGetIsRepeatedWhenAKeptConnectionWasClosed) {
  ScriptedServer server([&](WireConnection& connection) {
    connection.read_request();
    connection.send(http_answer(200, std::to_string(connection.number())));
    if (connection.number() == 0) connection.read_request();
  });
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "0");
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "1");
}

// --- Ends
// ------------------------------------------------------------------------------------------

TEST(CurlHttpClient, ABodyShorterThanAnnouncedIsANetworkError) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
  });
  CurlHttpClient client({});
  const Error error = error_of(client, get(server.url("/")));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(error.message(), HasSubstr("closed after 5 of 100 bytes"));
}

TEST(CurlHttpClient, ACutChunkIsANetworkError) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
  });
  CurlHttpClient client({});
  const Error error = error_of(client, get(server.url("/")));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(error.message(), HasSubstr("closed after 5 bytes"));
}

TEST(CurlHttpClient, AResetBeforeTheAnswerIsANetworkError) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.reset_at_close();
  });
  CurlHttpClient client({});
  EXPECT_EQ(error_of(client, get(server.url("/"))).kind(), ErrorKind::Network);
}

TEST(CurlHttpClient, WhatIsNoHttpIsAProtocolError) {
  for (const char* answer : {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n"}) {
    ScriptedServer server([&](WireConnection& connection) {
      connection.read_request();
      connection.send(std::string(answer, answer[0] == 'S' ? 17 : 26));
      connection.wait_for_close();
    });
    CurlHttpClient client({});
    EXPECT_EQ(error_of(client, get(server.url("/"))).kind(), ErrorKind::Protocol) << answer;
  }
}

TEST(CurlHttpClient, EndlessHeadersAreAProtocolError) {
  const std::string shapes[] = {"X: y\r\n", std::string(5000, 'x') + ": y\r\n",
                                std::string(5000, 'x'), "\r\nHTTP/1.1 100 Continue\r\n"};
  for (const std::string& shape : shapes) {
    ScriptedServer server([&](WireConnection& connection) {
      connection.read_request();
      connection.send("HTTP/1.1 100 OK\r\n");
      while (connection.send(shape)) {
      }
    });
    CurlHttpClient client({});
    const Error error = error_of(client, get(server.url("/")));
    EXPECT_EQ(error.kind(), ErrorKind::Protocol) << shape.substr(0, 20) << ": " << error.message();
  }
}

TEST(CurlHttpClient, ARefusedConnectionIsANetworkErrorThatNamesTheHost) {
  CurlHttpClient client({});
  const std::string authority = "127.0.0.1:" + std::to_string(closed_port());
  const Error error = error_of(client, get("http://u:pw@" + authority + "/a?token=s3cret"));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("cannot connect to " + authority), HasSubstr("Connection refused"),
                    Not(HasSubstr("s3cret")), Not(HasSubstr("pw"))));
}

TEST(CurlHttpClient, AProxyThatRefusesIsNamed) {
  HttpClientOptions options;
  options.proxy = "http://user:pw@127.0.0.1:" + std::to_string(closed_port());
  CurlHttpClient client(options);
  const Error error = error_of(client, get("http://127.0.0.1:9/"));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(error.message(), AllOf(HasSubstr("the proxy 127.0.0.1:"), Not(HasSubstr("pw"))));
}

TEST(CurlHttpClient, AnUnknownHostIsANetworkErrorThatNamesIt) {
  CurlHttpClient client({});
  const Error error = error_of(client, get("http://no-such-host.invalid/"));
  EXPECT_EQ(error.kind(), ErrorKind::Network);
  EXPECT_THAT(error.message(), HasSubstr("cannot resolve host no-such-host.invalid"));
}

TEST(CurlHttpClient, ServerWithoutTlsIsAnErrorAtOnce) {
  ScriptedServer server([](WireConnection& connection) {
    connection.send("HTTP/1.1 400 X\r\n\r\n");
    connection.wait_for_close();
  });
  CurlHttpClient client({});
  const Error error = error_of(client, get("https://" + server.authority() + "/"));
  EXPECT_EQ(error.kind(), ErrorKind::Tls);
}

TEST(CurlHttpClient, HeadersThatWouldSplitTheRequestAreRefused) {
  ScriptedServer server(ScriptedServer::answering([](const auto&) { return http_answer(200); }));
  CurlHttpClient client({});
  HttpRequest request = get(server.url("/"));
  request.headers.add("X-A", "b\r\nX-C: d");
  EXPECT_EQ(error_of(client, request).kind(), ErrorKind::InvalidAccess);
  EXPECT_EQ(server.connections(), 0U);
}

TEST(CurlHttpClient, AnInvalidUrlIsToldToTheSink) {
  CurlHttpClient client({});
  EXPECT_EQ(error_of(client, get("ftp://host/")).kind(), ErrorKind::InvalidAccess);
}

TEST(CurlHttpClient, MoreThanTheAllowedBodyIsAProtocolError) {
  ScriptedServer server(ScriptedServer::answering(
      [](const auto&) { return http_answer(200, std::string(1000, 'x')); }));
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), 1000).body.size(), 1000U);
  EXPECT_THROW(exchange(client, get(server.url("/")), soon(), 999), Error);
}

// --- Time and stopping
// -----------------------------------------------------------------------------

TEST(CurlHttpClient, EndsAtTheDeadlineAndSaysWhatWasMissing) {
  ScriptedServer server([](WireConnection& connection) { connection.wait_for_close(); });
  CurlHttpClient client({});
  const Error error = error_of(client, get(server.url("/")), RequestContext::within(100ms));
  EXPECT_EQ(error.kind(), ErrorKind::TimedOut);
  EXPECT_THAT(error.message(), HasSubstr("no answer from " + server.authority()));
}

TEST(CurlHttpClient, NoByteForTheStallTimeIsATimeout) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    connection.wait_for_close();
  });
  HttpClientOptions options;
  options.stall_timeout = 100ms;
  CurlHttpClient client(options);
  const Error error = error_of(client, get(server.url("/")));
  EXPECT_EQ(error.kind(), ErrorKind::TimedOut);
  EXPECT_THAT(error.message(), HasSubstr("no byte from " + server.authority() + " for 100 ms"));
}

TEST(CurlHttpClient, ARequestMaySayItselfHowLongTheServerMayBeSilent) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.wait_for_close();
  });
  CurlHttpClient client({});
  HttpRequest request = get(server.url("/"));
  request.stall_timeout = 100ms;
  EXPECT_THAT(error_of(client, std::move(request)).message(), HasSubstr("for 100 ms"));
}

TEST(CurlHttpClient, HoldsBytesBackAsLongAsTheSinkWants) {
  const std::string body(5'000'000, 'x');
  ScriptedServer server(
      ScriptedServer::answering([&](const auto&) { return http_answer(200, body); }));
  HttpClientOptions options;
  options.stall_timeout = 100ms;
  CurlHttpClient client(options);
  const auto flow = std::make_shared<HttpFlow>();
  const auto sink = std::make_shared<WatchingSink>();
  std::promise<void> held;
  bool has_held = false;
  sink->on_bytes = [&](auto) {
    if (!std::exchange(has_held, true)) {
      flow->hold();
      held.set_value();
    }
    return true;
  };
  HttpRequest request = get(server.url("/"));
  request.flow = flow;
  client.start(std::move(request), sink, soon());
  held.get_future().wait();
  // Others go on, and being held is no stall.
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), body.size()).body.size(), body.size());
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(sink->received, body.size());
  flow->release();
  EXPECT_FALSE(sink->wait());
  EXPECT_EQ(sink->received, body.size());
}

TEST(CurlHttpClient, AHeldExchangeCanBeCalledOff) {
  ScriptedServer server(ScriptedServer::answering(
      [&](const auto&) { return http_answer(200, std::string(5'000'000, 'x')); }));
  CurlHttpClient client({});
  const auto flow = std::make_shared<HttpFlow>();
  const auto sink = std::make_shared<WatchingSink>();
  std::promise<void> held;
  sink->on_begin = [&](const auto&) {
    flow->hold();
    held.set_value();
    return true;
  };
  std::stop_source stop;
  HttpRequest request = get(server.url("/"));
  request.flow = flow;
  client.start(std::move(request), sink, {.stop = stop.get_token()});
  held.get_future().wait();
  stop.request_stop();
  EXPECT_EQ(sink->wait()->kind(), ErrorKind::Cancelled);
}

TEST(CurlHttpClient, AKeptConnectionThatWentSilentIsReplacedOnce) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send(http_answer(200, std::to_string(connection.number())));
    connection.wait_for_close();  // later requests on it are never answered
  });
  CurlHttpClient client({});
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "0");
  EXPECT_EQ(exchange(client, get(server.url("/")), soon(), kMaxBody).body, "1");
}

TEST(CurlHttpClient, AStopRequestEndsTheExchange) {
  std::promise<void> arrived;
  ScriptedServer server([&](WireConnection& connection) {
    connection.read_request();
    arrived.set_value();
    connection.wait_for_close();
  });
  CurlHttpClient client({});
  std::stop_source stop;
  const auto sink = std::make_shared<WatchingSink>();
  client.start(get(server.url("/")), sink, {.stop = stop.get_token()});
  arrived.get_future().wait();
  stop.request_stop();
  EXPECT_EQ(sink->wait()->kind(), ErrorKind::Cancelled);
}

TEST(CurlHttpClient, AStopThatCameBeforeTheStartEndsTheExchange) {
  ScriptedServer server([](WireConnection& connection) { connection.wait_for_close(); });
  CurlHttpClient client({});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(error_of(client, get(server.url("/")), {.stop = stop.get_token()}).kind(),
            ErrorKind::Cancelled);
}

TEST(CurlHttpClient, ASinkThatRefusesEndsTheExchangeAndIsNotAskedAgain) {
  ScriptedServer server([](WireConnection& connection) {
    connection.read_request();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n");
    while (connection.send(std::string(100000, 'x'))) {
    }
  });
  CurlHttpClient client({});
  const auto at_head = std::make_shared<WatchingSink>();
  at_head->on_begin = [](const auto&) { return false; };
  client.start(get(server.url("/")), at_head, soon());
  EXPECT_EQ(at_head->wait()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(at_head->received, 0U);

  const auto at_bytes = std::make_shared<WatchingSink>();
  int calls = 0;
  at_bytes->on_bytes = [&](auto) {
    ++calls;
    return false;
  };
  client.start(get(server.url("/")), at_bytes, soon());
  EXPECT_EQ(at_bytes->wait()->kind(), ErrorKind::Cancelled);
  EXPECT_EQ(calls, 1);
}

TEST(CurlHttpClient, DestructionEndsWhatRunsAndWhatWaits) {
  ScriptedServer server([](WireConnection& connection) { connection.wait_for_close(); });
  std::vector<std::shared_ptr<WatchingSink>> sinks;
  {
    HttpClientOptions options;
    options.max_connections = 1;
    CurlHttpClient client(options);
    for (int i = 0; i < 3; ++i) {
      sinks.push_back(std::make_shared<WatchingSink>());
      client.start(get(server.url("/")), sinks.back(), soon());
    }
  }
  for (const auto& sink : sinks) EXPECT_EQ(sink->wait()->kind(), ErrorKind::Cancelled);
}

TEST(CurlHttpClient, ASinkMayBeItsLastOwner) {
  ScriptedServer server(ScriptedServer::answering([](const auto&) { return http_answer(200); }));
  class OwningSink final : public HttpSink {
   public:
    explicit OwningSink(std::promise<void>& gone) : gone_(gone) {}
    ~OwningSink() override {
      client.reset();
      gone_.set_value();
    }
    bool begin(const HttpResponseHead&) override { return true; }
    bool receive(std::span<const std::byte>) override { return true; }
    void finish(const Error*) noexcept override {}
    std::shared_ptr<CurlHttpClient> client;

   private:
    std::promise<void>& gone_;
  };
  std::promise<void> gone;
  {
    auto sink = std::make_shared<OwningSink>(gone);
    sink->client = std::make_shared<CurlHttpClient>(HttpClientOptions{});
    HttpClient& client = *sink->client;
    client.start(get(server.url("/")), std::move(sink), soon());
  }
  EXPECT_EQ(gone.get_future().wait_for(10s), std::future_status::ready);
}

}  // namespace
}  // namespace red::testing
