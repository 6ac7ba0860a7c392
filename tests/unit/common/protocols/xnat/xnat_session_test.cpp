#include "common/protocols/xnat/xnat_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "common/net/curl_http_client.h"
#include "tests/fakes/text_source.h"
#include "tests/unit/common/net/scripted_server.h"

namespace red::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr const char* kJson = "Content-Type: application/json\r\n";
constexpr const char* kHtml = "Content-Type: text/html\r\n";

/// A site whose sessions are numbered from 1; what else it does is up to the test.
class XnatSessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.emplace(ScriptedServer::answering([this](const WireRequest& request) {
      log_.add(request);
      if (request.target != "/data/JSESSION") return answer_(request);
      return request.method == "DELETE" ? logout_(request) : login_(request);
    }));
    XnatAccess access;
    access.base = Url::parse(server_->url(""));
    access.base.path.clear();
    access.username = "ada";
    access.password = "geheim";
    session_ =
        std::make_shared<XnatSession>(std::make_shared<CurlHttpClient>(access.client), access);
  }
  void TearDown() override { session_->end(); }

  std::string log_in() {
    const std::string id = "S" + std::to_string(++logins_);
    return http_answer(200, id,
                       "Content-Type: text/plain\r\nSet-Cookie: JSESSIONID=" + id +
                           "; Path=/; HttpOnly\r\nSet-Cookie: route=r1\r\n"
                           "Set-Cookie: SESSION_EXPIRATION_TIME=\"1,2\"; Path=/\r\n");
  }
  HttpResponse get(const std::string& path = "/data/x",
                   const RequestContext& context = RequestContext::within(30s)) {
    return exchange(*session_, {.url = server_->url(path)}, context, 10'000);
  }
  Error error_of_get(const std::string& path = "/data/x") {
    try {
      get(path);
    } catch (const Error& error) {
      return error;
    }
    return {ErrorKind::Internal, "no error"};
  }

  /// The cookies of all sessions that were ended.
  std::vector<std::string> logouts() const {
    std::vector<std::string> cookies;
    for (const WireRequest& request : log_.all()) {
      if (request.method == "DELETE") cookies.push_back(request.header("Cookie"));
    }
    return cookies;
  }

  std::atomic<int> logins_ = 0;
  ScriptedServer::Responder login_ = [this](const auto&) { return log_in(); };
  ScriptedServer::Responder logout_ = [](const auto&) { return http_answer(200); };
  ScriptedServer::Responder answer_ = [](const auto&) { return http_answer(200, "{}", kJson); };
  RequestLog log_;
  std::optional<ScriptedServer> server_;
  std::shared_ptr<XnatSession> session_;
};

TEST_F(XnatSessionTest, LogsInWithTheFirstExchangeAndOutAtItsEnd) {
  get();
  get();
  session_->end();
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data/JSESSION", "GET /data/x", "GET /data/x",
                                        "DELETE /data/JSESSION"));
  const auto requests = log_.all();
  EXPECT_EQ(requests[0].header("Authorization"), "Basic YWRhOmdlaGVpbQ==");
  for (std::size_t i = 1; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].header("Authorization"), "");
    EXPECT_EQ(requests[i].header("Cookie"), "JSESSIONID=S1; route=r1");
  }
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Cancelled);
}

TEST_F(XnatSessionTest, AsksForNothingThatNobodyWanted) {
  session_->end();
  EXPECT_TRUE(log_.lines().empty());
}

TEST_F(XnatSessionTest, LogsInOnceForAllWhoWait) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) threads.emplace_back([this] { get(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(logins_, 1);
}

TEST_F(XnatSessionTest, TakesTheSessionFromTheTextWithoutACookie) {
  login_ = [](const auto&) {
    return http_answer(200, "0123ABCD\r\n", "Content-Type: text/plain\r\n");
  };
  get();
  EXPECT_EQ(log_.all().at(1).header("Cookie"), "JSESSIONID=0123ABCD");
}

TEST_F(XnatSessionTest, NeverSendsRefusedCredentialsAgain) {
  login_ = [](const auto&) { return http_answer(401, "<html>", kHtml); };
  for (int i = 0; i < 3; ++i) {
    const Error error = error_of_get();
    EXPECT_EQ(error.kind(), ErrorKind::Authentication);
    EXPECT_THAT(error.message(), HasSubstr("logging in as ada"));
    EXPECT_THAT(error.message(), Not(HasSubstr("geheim")));
  }
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data/JSESSION"));
}

TEST_F(XnatSessionTest, TakesAWebPageInTheLoginsPlaceForARefusal) {
  login_ = [](const auto&) { return http_answer(200, "<!DOCTYPE html><html>", kHtml); };
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Authentication);
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Authentication);
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data/JSESSION"));
}

TEST_F(XnatSessionTest, TriesAgainWhatIsNoRefusal) {
  login_ = [](const auto&) { return http_answer(503); };
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Unavailable);
  login_ = [this](const auto&) { return log_in(); };
  EXPECT_EQ(get().body, "{}");
}

TEST_F(XnatSessionTest, TellsASiteThatIsNoXnat) {
  login_ = [](const auto&) { return http_answer(404); };
  EXPECT_EQ(error_of_get().kind(), ErrorKind::NotFound);
  login_ = [](const auto&) { return http_answer(200, "no session!"); };
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Protocol);
}

/// How servers answer to a session that they do not know.
class XnatExpiry : public XnatSessionTest, public ::testing::WithParamInterface<std::string> {
 protected:
  /// The first session is over.
  std::string answer(const WireRequest& request) {
    const bool is_old = request.header("Cookie").find("S1") != std::string::npos;
    return is_old ? GetParam() : http_answer(200, "{}", kJson);
  }
};

TEST_P(XnatExpiry, RenewsTheSessionAndRepeatsTheExchange) {
  answer_ = [this](const auto& request) { return answer(request); };
  EXPECT_EQ(get().body, "{}");
  EXPECT_EQ(logins_, 2);
}

TEST_P(XnatExpiry, RenewsItOnceForAllWhoFindOut) {
  answer_ = [this](const auto& request) { return answer(request); };
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) threads.emplace_back([this] { EXPECT_EQ(get().body, "{}"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(logins_, 2);
}

TEST_P(XnatExpiry, LogsOutOfBothLoginsAtItsEnd) {
  answer_ = [this](const auto& request) { return answer(request); };
  get();
  session_->end();
  EXPECT_THAT(logouts(),
              UnorderedElementsAre("JSESSIONID=S1; route=r1", "JSESSIONID=S2; route=r1"));
}

INSTANTIATE_TEST_SUITE_P(
    Answers, XnatExpiry,
    ::testing::Values(http_answer(401, "<html>", kHtml), http_answer(200, "<html>Login", kHtml),
                      http_answer(404, "", "Set-Cookie: JSESSIONID=guest; Path=/\r\n"),
                      http_answer(200, "{}",
                                  "Content-Type: application/json\r\n"
                                  "Set-Cookie: JSESSIONID=guest; Path=/\r\n")));

/// An open site, which takes who has no session for a guest, who may not see anything. The
/// parameter is how it answers to one who asks who he is.
class XnatOpenSite : public XnatExpiry {
 protected:
  void SetUp() override {
    XnatSessionTest::SetUp();
    answer_ = [this](const WireRequest& request) {
      const bool is_guest = request.header("Cookie").find("S1") != std::string::npos;
      if (request.target == "/data/auth") return is_guest ? GetParam() : user_;
      return is_guest ? http_answer(request.method == "GET" ? 404 : 403)
                      : http_answer(200, request.body, kJson);
    };
  }
  int count(const std::string& line) const {
    const auto lines = log_.lines();
    return static_cast<int>(std::count(lines.begin(), lines.end(), line));
  }

  // Of an alias token it is the owner.
  const std::string user_ = http_answer(200, "User 'grace' is logged in");
};

TEST_P(XnatOpenSite, RenewsTheSessionOnceForAllWhoAreTakenForAGuest) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) threads.emplace_back([this] { EXPECT_EQ(get().head.status, 200); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(logins_, 2);
  EXPECT_EQ(count("GET /data/auth"), 1);
}

TEST_P(XnatOpenSite, RepeatsAnUploadThatWasTakenForAGuests) {
  HttpRequest request{.method = "PUT", .url = server_->url("/data/x")};
  request.body = std::make_shared<TextSource>("content");
  const HttpResponse response =
      exchange(*session_, std::move(request), RequestContext::within(30s), 10'000);
  EXPECT_EQ(response.head.status, 200);
  EXPECT_EQ(response.body, "content");
  EXPECT_EQ(logins_, 2);
}

INSTANTIATE_TEST_SUITE_P(Answers, XnatOpenSite,
                         ::testing::Values(http_answer(200, "User 'guest' is logged in"),
                                           http_answer(200, "<html>Login", kHtml),
                                           http_answer(401, "<html>", kHtml), http_answer(404)));

TEST_F(XnatSessionTest, BelievesWhatTheServerDoesNotHaveOnceItKnowsTheUser) {
  answer_ = [](const WireRequest& request) {
    if (request.target != "/data/auth") return http_answer(404);
    return http_answer(200, "User 'grace' is logged in");
  };
  EXPECT_EQ(get().head.status, 404);
  EXPECT_EQ(get().head.status, 404);
  EXPECT_THAT(log_.lines(), ElementsAre("GET /data/JSESSION", "GET /data/x", "GET /data/auth",
                                        "GET /data/x", "GET /data/x"));
}

TEST_F(XnatSessionTest, LogsInOnceMoreOnlyWhereTheServerNeverKnowsTheUser) {
  answer_ = [](const auto&) { return http_answer(404); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get().head.status, 404);
  EXPECT_EQ(logins_, 2);
}

TEST_F(XnatSessionTest, FailsWhatItCannotAskAbout) {
  answer_ = [](const WireRequest& request) {
    return request.target == "/data/auth" ? "nonsense\r\n\r\n" : http_answer(404);
  };
  EXPECT_THAT(error_of_get().message(), HasSubstr("asking who is logged in"));
  answer_ = [](const auto&) { return http_answer(200, "{}", kJson); };
  EXPECT_EQ(get().body, "{}");
  EXPECT_EQ(logins_, 1);
}

TEST_F(XnatSessionTest, RepeatsAnExchangeOnceOnly) {
  answer_ = [](const auto&) { return http_answer(401); };
  EXPECT_EQ(get().head.status, 401);
  EXPECT_EQ(logins_, 2);
  answer_ = [](const auto&) { return http_answer(200, "<html>", kHtml); };
  EXPECT_THAT(error_of_get().message(), HasSubstr("login page"));
}

TEST_F(XnatSessionTest, LogsOutOfEveryLoginWhereTheLoginPageNeverEnds) {
  answer_ = [](const auto&) { return http_answer(200, "<html>", kHtml); };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(error_of_get().kind(), ErrorKind::Authentication);
  EXPECT_EQ(logins_, 4);
  session_->end();
  EXPECT_EQ(logouts().size(), 4U);
}

TEST_F(XnatSessionTest, DoesNotMindAServerThatAlwaysSetsCookies) {
  answer_ = [](const auto&) { return http_answer(200, "{}", "Set-Cookie: JSESSIONID=new\r\n"); };
  get();
  for (int i = 0; i < 5; ++i) get();
  EXPECT_EQ(logins_, 2);
}

TEST_F(XnatSessionTest, LetsFilesBeWebPages) {
  answer_ = [](const auto&) {
    return http_answer(200, "<html>",
                       "Content-Type: text/html\r\nContent-Disposition: attachment\r\n");
  };
  EXPECT_EQ(get().body, "<html>");
  EXPECT_EQ(logins_, 1);
}

TEST_F(XnatSessionTest, TakesARedirectToTheLoginPageForTheEndOfTheSession) {
  answer_ = [](const WireRequest& request) {
    if (request.target == "/app/template/Login.vm") return http_answer(200, "<html>", kHtml);
    const bool is_old = request.header("Cookie").find("S1") != std::string::npos;
    return is_old ? http_answer(302, "", "Location: /app/template/Login.vm\r\n")
                  : http_answer(200, "{}", kJson);
  };
  EXPECT_EQ(get().body, "{}");
  EXPECT_EQ(logins_, 2);
}

TEST_F(XnatSessionTest, TakesAnErrorOfTheServerForABusyOne) {
  answer_ = [](const auto&) { return http_answer(500, "<html>", kHtml); };
  EXPECT_EQ(error_of_get().kind(), ErrorKind::Unavailable);
  EXPECT_TRUE(error_of_get().retryable());
}

TEST_F(XnatSessionTest, ALoginThatIsCalledOffFailsNobodyElse) {
  std::promise<void> began;
  std::promise<void> release;
  std::atomic<bool> is_first = true;
  login_ = [&](const auto&) {
    if (is_first.exchange(false)) {
      began.set_value();
      release.get_future().wait();
    }
    return log_in();
  };
  std::stop_source stop;
  std::thread first([&] {
    const RequestContext context{.stop = stop.get_token()};
    EXPECT_THROW(get("/data/x", context), Error);
  });
  began.get_future().wait();
  std::thread second([&] { EXPECT_EQ(get().body, "{}"); });
  stop.request_stop();
  first.join();
  release.set_value();
  second.join();
}

TEST_F(XnatSessionTest, DoesNotWaitLongForAServerThatDoesNotAnswerToTheLogout) {
  get();
  std::promise<void> release;
  logout_ = [&](const auto&) {
    release.get_future().wait();
    return http_answer(200);
  };
  const auto begin = std::chrono::steady_clock::now();
  session_->end();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  release.set_value();
  server_.reset();
}

}  // namespace
}  // namespace red::testing
