// The stand-in for XNAT itself: the facts about XNAT that tests of the connector rely on.
#include "tests/servers/xnat_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/waiting.h"

namespace red::testing {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

const std::string kSession = "projects/P/subjects/S/experiments/E";
const std::string kResource = kSession + "/scans/1/resources/DICOM";

/// What came back for one request.
struct Reply {
  int status = 0;
  std::map<std::string, std::string> fields;  ///< names in small letters; the last of a name
  std::string body;
  int curl = 0;  ///< curl's exit code: 18 is a body that ends early, 28 one that does not come

  Json rows() const { return Json::parse(body).at("ResultSet").at("Result"); }
  std::string field(const std::string& name) const {
    return fields.contains(name) ? fields.at(name) : "";
  }
};

void PrintTo(const Reply& reply, std::ostream* out) {
  *out << reply.status << ", curl " << reply.curl << ": " << reply.body.substr(0, 500);
}

MATCHER_P(HasStatus, status, "") { return arg.status == status && arg.curl == 0; }
MATCHER_P(HasBody, body, "") { return arg.status == 200 && arg.curl == 0 && arg.body == body; }

Reply parse(const Outcome& outcome) {
  Reply reply;
  reply.curl = outcome.exit_code;
  std::string left = outcome.output;
  while (left.starts_with("HTTP/1.1 1") || (reply.status == 0 && !left.empty())) {
    const std::size_t end = left.find("\r\n\r\n");
    std::istringstream head(left.substr(0, end));
    std::string line;
    std::getline(head, line);
    reply.status = line.starts_with("HTTP/1.1 1") ? 0 : std::stoi(line.substr(9));
    while (std::getline(head, line)) {
      const std::size_t colon = line.find(": ");
      std::string name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      reply.fields[name] = line.substr(colon + 2, line.find_last_not_of('\r') - colon - 1);
    }
    left = end == std::string::npos ? "" : left.substr(end + 4);
  }
  reply.body = left;
  return reply;
}

class XnatStandIn : public ::testing::Test {
 protected:
  explicit XnatStandIn(const XnatOptions& options = {}) : server_(options) {}

  /// A request of the administrator's, each in a session of its own.
  Reply ask(const std::string& path, std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"-u", server_.username() + ":" + server_.password()});
    return ask_as_nobody(path, more);
  }
  Reply ask_as(const std::string& user, const std::string& path,
               std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"-u", user});
    return ask_as_nobody(path, more);
  }
  Reply ask_as_nobody(const std::string& path, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"/usr/bin/curl", "-sSi",       "--path-as-is",
                                          "--globoff",     "--max-time", "10"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.push_back(server_.base_url() + path);
    return parse(run({.arguments = arguments}));
  }
  Reply range(const std::string& range) const {
    return ask("/data/" + kResource + "/files/ten", {"-H", "Range: " + range});
  }
  Reply put(const std::string& path, const std::string& content) const {
    return ask(path, {"-X", "PUT", "--data-binary", content, "-H",
                      "Content-Type: application/octet-stream"});
  }
  Reply put_object(const std::string& path) const { return ask("/data/" + path, {"-X", "PUT"}); }

  XnatServer server_;
};

std::vector<std::string> keys(const Json& row) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : row.items()) {
    EXPECT_TRUE(value.is_string()) << key;
    keys.push_back(key);
  }
  return keys;
}

// --- Addresses and listings ----------------------------------------------------------------------

TEST_F(XnatStandIn, ListsObjectsWithTheColumnsOfXnatAllOfThemTexts) {
  server_.add(kSession + "/scans/1", {.type = "T1w"});
  server_.add(kSession + "/reconstructions/R");
  server_.add(kSession + "/assessors/A");
  server_.add_file(kResource, "sub/b.txt", "twelve bytes");
  EXPECT_THAT(keys(ask("/data/projects").rows()[0]),
              UnorderedElementsAre("ID", "secondary_ID", "name", "description", "pi_firstname",
                                   "pi_lastname", "URI"));
  EXPECT_THAT(keys(ask("/data/projects/P/subjects").rows()[0]),
              UnorderedElementsAre("ID", "project", "label", "insert_date", "insert_user", "URI"));
  EXPECT_THAT(keys(ask("/data/projects/P/experiments").rows()[0]),
              UnorderedElementsAre("ID", "project", "date", "xsiType", "label", "insert_date",
                                   "xnat:subjectassessordata/id", "URI"));
  EXPECT_THAT(keys(ask("/data/" + kSession + "/scans").rows()[0]),
              UnorderedElementsAre("xnat_imagescandata_id", "ID", "type", "quality", "xsiType",
                                   "note", "series_description", "URI"));
  EXPECT_THAT(
      keys(ask("/data/" + kSession + "/reconstructions").rows()[0]),
      UnorderedElementsAre("xnat_reconstructedimagedata_id", "ID", "type", "baseScanType", "URI"));
  EXPECT_THAT(
      keys(ask("/data/" + kSession + "/assessors").rows()[0]),
      UnorderedElementsAre("ID", "project", "label", "date", "xsiType", "insert_date", "session_ID",
                           "session_label", "xnat:imageassessordata/id", "URI"));
  EXPECT_THAT(keys(ask("/data/" + kSession + "/scans/1/resources").rows()[0]),
              UnorderedElementsAre("xnat_abstractresource_id", "label", "element_name", "category",
                                   "cat_id", "cat_desc", "file_count", "file_size", "tags",
                                   "content", "format"));
}

TEST_F(XnatStandIn, ListsFilesByBaseNameAndByTheirPathWithIds) {
  const std::string resource_id = server_.add(kResource);
  server_.add_file(kResource, "sub/b c%#.txt", "twelve bytes");
  const Reply reply = ask("/data/" + kResource + "/files?format=json");
  EXPECT_EQ(reply.field("transfer-encoding"), "chunked");
  EXPECT_EQ(Json::parse(reply.body),
            Json({{"ResultSet",
                   {{"Columns", {{{"key", "URI"}, {"serverRoot", ""}}}},
                    {"title", "Files"},
                    {"Result",
                     {{{"Name", "b c%#.txt"},
                       {"Size", "12"},
                       {"URI",
                        "/data/projects/P/subjects/XNAT_S00001/experiments/XNAT_E00001/"
                        "scans/1/resources/" +
                            resource_id + "/files/sub/b c%#.txt"},
                       {"collection", "DICOM"},
                       {"file_tags", ""},
                       {"file_format", ""},
                       {"file_content", ""},
                       {"cat_ID", resource_id},
                       {"digest", "c91fa94e14cf2fa5474beceff788c0dc"}}}}}}}));
}

TEST_F(XnatStandIn, CountsAsTextAndSpeaksCsvAndNarrowsColumns) {
  server_.add(kSession);
  EXPECT_EQ(Json::parse(ask("/data/projects/P/subjects").body)["ResultSet"]["totalRecords"], "1");
  EXPECT_THAT(ask("/data/projects/P/subjects?format=csv&columns=ID,label,xsiType"),
              HasBody("ID,label,URI\nXNAT_S00001,S,/data/subjects/XNAT_S00001\n"));
}

TEST_F(XnatStandIn, KnowsSeveralAddressesOfOneThing) {
  server_.add_file(kResource, "f", "content");
  for (const std::string& path :
       {"/data/" + kResource, "/REST/" + kResource, "/data/archive/" + kResource,
        std::string("/data/experiments/XNAT_E00001/scans/1/resources/DICOM"),
        std::string("/data/projects/P/subjects/XNAT_S00001/experiments/XNAT_E00001/scans/1")}) {
    EXPECT_THAT(ask(path + "/files/f"), HasBody("content")) << path;
  }
  EXPECT_THAT(ask("/data/experiments/E"), HasStatus(404));
}

TEST_F(XnatStandIn, TakesAScanByItsTypeAndAResourceByItsNumber) {
  server_.add(kSession + "/scans/1", {.type = "T1/w"});
  const std::string id = server_.add(kResource);
  server_.add_file(kResource, "f", "content");
  EXPECT_THAT(ask("/data/" + kSession + "/scans/T1%5BSLASH%5Dw/resources/" + id + "/files/f"),
              HasBody("content"));
  EXPECT_THAT(ask("/data/" + kSession + "/scans/1/resources/12345/files"), HasStatus(403));
}

TEST_F(XnatStandIn, KeepsWhatWentIntoAnAssessorApartFromWhatCameOut) {
  const std::string assessor = kSession + "/assessors/A";
  server_.add_file(assessor + "/in/resources/R", "f", "in");
  server_.add_file(assessor + "/out/resources/R", "f", "out");
  EXPECT_THAT(ask("/data/" + assessor + "/in/resources/R/files/f"), HasBody("in"));
  EXPECT_THAT(ask("/data/" + assessor + "/resources/R/files/f"), HasBody("out"));
  const Json row = ask("/data/" + assessor + "/files").rows()[0];
  EXPECT_THAT(row["URI"].get<std::string>(),
              StartsWith("/experiments/XNAT_E00001/assessors/XNAT_E00002/out/resources/"));
  EXPECT_EQ(ask("/data/projects/P/experiments").rows().size(), 1u);
}

TEST_F(XnatStandIn, SharesSubjectsAndSessionsUnderOtherLabels) {
  server_.add_file(kResource, "f", "content");
  server_.add("projects/OTHER", {.label = "alias"});
  server_.share("projects/P/subjects/S", "OTHER", "S2");
  server_.share(kSession, "OTHER", "E2");
  const std::string session = "/data/projects/alias/subjects/S2/experiments/E2";
  EXPECT_THAT(ask(session + "/scans/1/resources/DICOM/files/f"), HasBody("content"));
  EXPECT_THAT(ask(session, {"-X", "DELETE"}), HasStatus(200));
  EXPECT_THAT(ask(session), HasStatus(404));
  EXPECT_THAT(ask("/data/" + kResource + "/files/f"), HasBody("content"));
  server_.remove("projects/P");
  EXPECT_THAT(server_.children(""), ElementsAre("projects/OTHER"));
}

TEST_F(XnatStandIn, IgnoresWhatItDoesNotKnowAtTheEndOfAPath) {
  server_.add(kSession + "/scans/1");
  EXPECT_THAT(ask("/data/projects/P/experiments/E/scans?format=json").body,
              StartsWith("{\"items\":["));
  EXPECT_THAT(ask("/data/" + kSession + "/nonsense?format=json").body, StartsWith("{\"items\":["));
}

TEST_F(XnatStandIn, ShowsTheResourcesOfAnAncestorInPlaceOfWhatIsMissing) {
  server_.add(kResource);
  server_.add("projects/P/subjects/S/resources/NOTES");
  for (const std::string path : {"/experiments/NOPE/resources", "/experiments/E/scans/9/resources",
                                 "/experiments/NOPE/scans/1/resources"}) {
    const Reply reply = ask("/data/projects/P/subjects/S" + path);
    EXPECT_THAT(reply, HasStatus(200)) << path;
    EXPECT_EQ(reply.rows()[0]["label"], "NOTES") << path;
  }
  EXPECT_THAT(ask("/data/experiments/NOPE/resources"), HasStatus(404));
}

TEST_F(XnatStandIn, TellsAbsentThingsApartOnlyByHalf) {
  server_.add(kResource);
  EXPECT_THAT(ask("/data/" + kSession + "/scans/1/resources/NOPE/files").rows(), IsEmpty());
  EXPECT_THAT(ask("/data/" + kSession + "/scans/1/resources/NOPE"), HasStatus(404));
  const Reply file = ask("/data/" + kResource + "/files/nope");
  EXPECT_THAT(file, AllOf(HasStatus(404), Field(&Reply::body, "")));
  EXPECT_THAT(ask("/data/" + kResource + "/files/nope?accept-not-found=true"), HasStatus(204));
  EXPECT_THAT(ask("/data/projects/NOPE/subjects").body, HasSubstr("<title>Status page</title>"));
}

TEST_F(XnatStandIn, RefusesCharactersInPaths) {
  server_.add(kResource);
  EXPECT_THAT(ask("/data/" + kResource + "/files/a%2Fb"), HasStatus(400));
  EXPECT_THAT(ask("/data/" + kResource + "/files/a[b"), HasStatus(400));
  for (const std::string name : {"a;b", "a%3Bb", "a%25b", "a//b", "a/../b"}) {
    EXPECT_THAT(ask("/data/" + kResource + "/files/" + name), HasStatus(500)) << name;
  }
}

TEST_F(XnatStandIn, ListsTenThousandFilesInSeconds) {
  server_.add_files(kResource, "deep/IM{}.dcm", 10'000, 2'000);
  const auto start = Clock::now();
  const Reply reply = ask("/data/" + kResource + "/files");
  // A tenth of a second on a machine that does nothing else.
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(reply.rows().size(), 10'000u);
}

// --- Downloads -----------------------------------------------------------------------------------

TEST_F(XnatStandIn, SendsAFileWithItsLengthAndTimeButNoEtag) {
  server_.add_file(kResource, "a/b.txt", "content");
  const Reply reply = ask("/data/" + kResource + "/files/a/b.txt");
  EXPECT_THAT(reply, HasBody("content"));
  EXPECT_EQ(reply.field("content-length"), "7");
  EXPECT_EQ(reply.field("content-type"), "text/plain");
  EXPECT_EQ(reply.field("content-disposition"), "attachment; filename=\"b.txt\";");
  EXPECT_EQ(reply.field("accept-ranges"), "bytes");
  EXPECT_FALSE(reply.fields.contains("etag"));
  const std::string time = reply.field("last-modified");
  const std::string path = "/data/" + kResource + "/files/a/b.txt";
  EXPECT_THAT(ask(path, {"-H", "If-Modified-Since: " + time}), HasStatus(304));
  EXPECT_THAT(ask(path, {"-H", "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"}),
              HasStatus(412));
  EXPECT_THAT(ask(path, {"-I"}), AllOf(HasStatus(200), Field(&Reply::body, "")));
}

TEST_F(XnatStandIn, SendsRangesWithinAFile) {
  server_.add_file(kResource, "ten", "0123456789");
  const std::vector<std::array<std::string, 3>> expected = {
      {"bytes=2-5", "2345", "bytes 2-5/10"},      {"bytes=5-", "56789", "bytes 5-9/10"},
      {"bytes=0-", "0123456789", "bytes 0-9/10"}, {"bytes=-3", "789", "bytes 7-9/10"},
      {"bytes=9-9", "9", "bytes 9-9/10"},         {"bytes=10-", "", "bytes 10-9/10"}};
  for (const auto& [asked, body, shown] : expected) {
    const Reply reply = range(asked);
    EXPECT_THAT(reply, HasStatus(206)) << asked;
    EXPECT_EQ(reply.body, body) << asked;
    EXPECT_EQ(reply.field("content-range"), shown) << asked;
  }
  EXPECT_THAT(range("bytes=abc"), AllOf(HasStatus(206), Field(&Reply::body, "")));
  EXPECT_THAT(range("bytes=0-1,4-5"), HasStatus(501));
  EXPECT_THAT(range("items=0-1"), HasBody("0123456789"));
}

TEST_F(XnatStandIn, StallsOnRangesPastTheEnd) {
  server_.add_file(kResource, "ten", "0123456789");
  server_.set_stall(milliseconds(100));
  const std::vector<std::array<std::string, 4>> expected = {
      {"bytes=5-14", "56789", "bytes 5-14/10", "10"},
      {"bytes=10-12", "", "bytes 10-12/10", "3"},
      {"bytes=20-25", "", "bytes 20-25/10", "6"},
      {"bytes=-20", "0123456789", "bytes -10-9/10", "20"}};
  for (const auto& [asked, body, shown, length] : expected) {
    const Reply reply = range(asked);
    EXPECT_EQ(reply.curl, 18) << asked;
    EXPECT_EQ(reply.status, 206) << asked;
    EXPECT_EQ(reply.body, body) << asked;
    EXPECT_EQ(reply.field("content-range"), shown) << asked;
    EXPECT_EQ(reply.field("content-length"), length) << asked;
  }
  constexpr int kWeirdServerReply = 8;  // a negative Content-Length
  EXPECT_EQ(range("bytes=20-").curl, kWeirdServerReply);
}

TEST_F(XnatStandIn, KeepsAClientWaitingThatAsksPastTheEnd) {
  server_.add_file(kResource, "ten", "0123456789");
  EXPECT_EQ(ask("/data/" + kResource + "/files/ten", {"-r", "5-14", "--max-time", "0.5"}).curl, 28);
}

TEST_F(XnatStandIn, CanAnswerRangesAsProxiesMakeIt) {
  server_.add_file(kResource, "ten", "0123456789");
  server_.set_ranges(XnatRanges::Repaired);
  EXPECT_THAT(range("bytes=5-14"), AllOf(HasStatus(206), Field(&Reply::body, "56789")));
  EXPECT_THAT(range("bytes=10-12"), HasStatus(416));
  server_.set_ranges(XnatRanges::Ignored);
  EXPECT_THAT(range("bytes=5-6"), HasBody("0123456789"));
}

TEST_F(XnatStandIn, AnswersRangesOfListingsAsOfStreams) {
  server_.add(kResource);
  EXPECT_THAT(ask("/data/projects", {"-r", "0-3"}), HasStatus(200));
  EXPECT_THAT(ask("/data/projects", {"-r", "3-"}), HasStatus(500));
}

TEST_F(XnatStandIn, PacksFilesWithTheirPlaceInTheSession) {
  server_.add(kSession + "/scans/1", {.type = "T1 w+"});
  server_.add_file(kResource, "sub/b c.txt", "content");
  server_.add_file(kResource, "gone", "x");
  server_.lose_file(kResource, "gone");
  server_.add_file(kSession + "/resources/NOTES", "n", "note");
  const TemporaryDirectory directory;
  const Reply reply = ask("/data/" + kSession + "/files?format=zip&all=true");
  EXPECT_THAT(reply, HasStatus(200));
  EXPECT_EQ(reply.field("transfer-encoding"), "chunked");
  EXPECT_FALSE(reply.fields.contains("content-length"));
  EXPECT_EQ(reply.field("content-disposition"), "attachment; filename=\"E.zip\";");
  // Sizes are known from the local header: stored, without a descriptor behind the data.
  EXPECT_EQ(reply.body.at(6) & 8, 0);
  write_file(directory / "session.zip", reply.body);
  EXPECT_EQ(
      run({.arguments = {"/usr/bin/python3", "-m", "zipfile", "-t", directory / "session.zip"}})
          .exit_code,
      0);
  run({.arguments = {"/usr/bin/python3", "-m", "zipfile", "-e", directory / "session.zip",
                     directory / "out"}});
  EXPECT_THAT(read_tree(directory / "out"),
              UnorderedElementsAre(Pair("E/scans/1/resources/DICOM/files/sub/b c.txt", "content"),
                                   Pair("E/resources/NOTES/files/n", "note")));
  EXPECT_THAT(ask("/data/" + kSession + "/scans/ALL/files?format=zip").body,
              HasSubstr("E/scans/1-T1_w_/resources/DICOM/files/sub/b c.txt"));
  EXPECT_THAT(ask("/data/" + kSession + "/scans/1/resources/NOPE/files?format=zip"),
              HasStatus(404));
}

TEST_F(XnatStandIn, PacksTarAsWell) {
  server_.add_files(kResource, "f{}", 3, 100'000);
  const TemporaryDirectory directory;
  write_file(directory / "all.tgz", ask("/data/" + kResource + "/files?format=tar.gz").body);
  run({.arguments = {"/bin/tar", "-C", directory.path(), "-xzf", directory / "all.tgz"}});
  EXPECT_EQ(read_file(directory / "E/scans/1/resources/DICOM/files/f00002"),
            XnatServer::generated_content(2, 100'000));
}

// --- Uploads -------------------------------------------------------------------------------------

TEST_F(XnatStandIn, TakesAFileOnceAndSaysSoOnlyInTheBody) {
  server_.add(kSession + "/scans/1");
  const std::string path = "/data/" + kResource + "/files/a%20b/c.txt";
  EXPECT_THAT(put(path + "?inbody=true", "first"), HasBody(""));
  const Reply again = put(path + "?inbody=true", "second");
  EXPECT_THAT(again, HasBody("{\"duplicates\":[\"a b/c.txt\"]}"));
  EXPECT_THAT(again.field("content-type"), StartsWith("text/html"));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("a b/c.txt", "first")));
  EXPECT_THAT(put(path + "?inbody=true&overwrite=true", "third"), HasBody(""));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("a b/c.txt", "third")));
}

TEST_F(XnatStandIn, DecodesNamesOnlyIfTheyHaveABlankOrAPlus) {
  server_.add(kResource);
  for (const std::string name : {"%C3%A9.txt", "a%20%C3%A9+.txt", "x%2By"}) {
    EXPECT_THAT(put("/data/" + kResource + "/files/" + name, "x"), HasStatus(200)) << name;
  }
  EXPECT_THAT(
      server_.files(kResource),
      UnorderedElementsAre(Pair("%C3%A9.txt", "x"), Pair("a é .txt", "x"), Pair("x+y", "x")));
}

TEST_F(XnatStandIn, RefusesEmptyAndChunkedBodiesButTakesThemAsForms) {
  server_.add(kResource);
  const std::string path = "/data/" + kResource + "/files/";
  EXPECT_THAT(put(path + "empty?inbody=true", ""), HasStatus(500));
  EXPECT_THAT(ask(path + "chunked?inbody=true",
                  {"-X", "PUT", "-d", "x", "-H", "Transfer-Encoding: chunked"}),
              HasStatus(500));
  EXPECT_THAT(put(path + "R_catalog.xml", "x"), HasStatus(500));
  EXPECT_THAT(ask(path + "none", {"-X", "PUT"}), HasStatus(400));
  const TemporaryDirectory directory;
  write_file(directory / "empty", "");
  const std::string form = "file=@" + std::string(directory / "empty");
  EXPECT_THAT(ask(path + "sub/empty", {"-X", "PUT", "-F", form}), HasStatus(200));
  EXPECT_THAT(ask(path, {"-X", "POST", "-F", form}), HasStatus(200));
  EXPECT_THAT(ask(path + "no?inbody=true", {"-X", "PUT", "-F", form}), HasStatus(406));
  EXPECT_THAT(server_.files(kResource),
              UnorderedElementsAre(Pair("sub/empty", ""), Pair("empty", "")));
}

TEST_F(XnatStandIn, UnpacksZipAndTar) {
  server_.add_file(kResource, "d/old", "old");
  const TemporaryDirectory directory;
  write_tree(directory / "in", {{"d/old", "new"}, {"e/f", "f"}, {"x_catalog.xml", "x"}});
  run({.arguments = {"/usr/bin/python3", "-m", "zipfile", "-c", directory / "a.zip", "d", "e",
                     "x_catalog.xml"},
       .directory = directory / "in"});
  run({.arguments = {"/bin/tar", "-czf", directory / "a.tar.gz", "d", "e"},
       .directory = directory / "in"});
  const std::string path = "/data/" + kResource + "/files/a";
  EXPECT_THAT(ask(path + ".zip?extract=true&inbody=true", {"-T", directory / "a.zip"}),
              HasBody("{\"duplicates\":[\"d/old\"]}"));
  EXPECT_THAT(server_.files(kResource),
              UnorderedElementsAre(Pair("d/old", "old"), Pair("e/f", "f")));
  EXPECT_THAT(
      ask(path + ".tar.gz?extract=true&overwrite=true&inbody=true", {"-T", directory / "a.tar.gz"}),
      HasBody(""));
  EXPECT_THAT(server_.files(kResource),
              UnorderedElementsAre(Pair("d/old", "new"), Pair("e/f", "f")));
}

TEST_F(XnatStandIn, CreatesContainersWithTheStatusCodesOfXnat) {
  EXPECT_THAT(put_object("projects/P%20Q"), HasStatus(417));
  EXPECT_THAT(put_object("projects/P"), HasStatus(200));
  EXPECT_THAT(put_object("projects/P"), HasStatus(200));
  const Reply subject = put_object("projects/P/subjects/S");
  EXPECT_THAT(subject, AllOf(HasStatus(201), Field(&Reply::body, "XNAT_S00001")));
  EXPECT_THAT(put_object("projects/P/subjects/S"), HasBody("XNAT_S00001"));
  EXPECT_THAT(put_object(kSession), HasStatus(417));
  EXPECT_THAT(put_object(kSession + "?xsiType=xnat:mrScanData"), HasStatus(422));
  EXPECT_THAT(put_object(kSession + "?xsiType=xnat:mrSessionData"), HasStatus(201));
  EXPECT_THAT(put_object(kSession + "/scans/1"), HasStatus(417));
  EXPECT_THAT(put_object(kSession + "/scans/1?xsiType=xnat:imageScanData"), HasStatus(400));
  EXPECT_THAT(put_object(kSession + "/scans/1?xsiType=xnat:mrScanData"), HasStatus(200));
  EXPECT_THAT(put_object(kSession + "/scans/1?xsiType=xnat:ctScanData"), HasStatus(409));
  EXPECT_THAT(put_object(kSession + "/reconstructions/r"), HasStatus(200));
  EXPECT_THAT(put_object(kSession + "/assessors/A?xsiType=xnat:qcAssessmentData"), HasStatus(201));
  EXPECT_THAT(put_object(kResource + "?format=DICOM"), HasStatus(200));
  EXPECT_THAT(put_object(kResource), HasStatus(409));
  EXPECT_THAT(put_object("projects/NOPE/subjects/S"), HasStatus(404));
  EXPECT_THAT(server_.children(kSession),
              UnorderedElementsAre("scans/1", "reconstructions/r", "assessors/A"));
}

TEST_F(XnatStandIn, FailsAnUploadThatAnotherOneOvertakes) {
  server_.add(kResource);
  const std::string path = "/data/" + kResource + "/files/";
  server_.add_fault({.kind = XnatFault::Kind::HoldUpload, .path = "/slow"});
  Reply slow;
  std::thread uploading([&] { slow = put(path + "slow", "x"); });
  EXPECT_TRUE(server_.wait_for_held(1));
  EXPECT_THAT(put(path + "fast", "x"), HasBody(""));
  server_.release();
  uploading.join();
  EXPECT_THAT(slow, HasStatus(500));
  EXPECT_THAT(slow.body, HasSubstr("Another thread or process modified"));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("fast", "x")));
  // Its bytes lie on the disk.
  EXPECT_THAT(put(path + "slow", "x"), HasBody("{\"duplicates\":[\"slow\"]}"));
  EXPECT_THAT(put(path + "slow?overwrite=true", "x"), HasBody(""));
}

TEST_F(XnatStandIn, LosesTheEntryOfAnUploadThatOvertookAnotherIfItIsOld) {
  server_.add(kResource);
  server_.set_lost_updates_refused(false);
  const std::string path = "/data/" + kResource + "/files/";
  server_.add_fault({.kind = XnatFault::Kind::HoldUpload, .path = "/slow"});
  Reply slow;
  std::thread uploading([&] { slow = put(path + "slow", "x"); });
  EXPECT_TRUE(server_.wait_for_held(1));
  EXPECT_THAT(put(path + "fast", "x"), HasBody(""));
  server_.release();
  uploading.join();
  EXPECT_THAT(slow, HasBody(""));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("slow", "x")));
}

TEST_F(XnatStandIn, DeletesByPrefix) {
  for (const std::string name : {"IM1", "IM10", "IM1.txt", "IM2", "sub/a", "sub/b"}) {
    server_.add_file(kResource, name, "x");
  }
  EXPECT_THAT(ask("/data/" + kResource + "/files/IM1", {"-X", "DELETE"}), HasStatus(200));
  EXPECT_THAT(ask("/data/" + kResource + "/files/sub", {"-X", "DELETE"}), HasStatus(200));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("IM2", "x")));
  EXPECT_THAT(ask("/data/" + kResource + "/files/IM1", {"-X", "DELETE"}), HasStatus(404));
}

// --- Users and sessions --------------------------------------------------------------------------

class XnatStandInWithUsers : public XnatStandIn {
 protected:
  explicit XnatStandInWithUsers(const XnatOptions& options = {}) : XnatStandIn(options) {
    server_.add_file(kResource, "f", "content");
    for (const std::string name : {"owner", "member", "reader", "stranger"}) {
      server_.add_user(name, "pw");
    }
    server_.grant("P", "owner", XnatRole::Owner);
    server_.grant("P", "member", XnatRole::Member);
    server_.grant("P", "reader", XnatRole::Collaborator);
  }
  const std::string file_ = "/data/" + kResource + "/files/f";
};

TEST_F(XnatStandInWithUsers, GivesEachItsRights) {
  EXPECT_THAT(ask_as("stranger:pw", file_), HasStatus(404));
  EXPECT_THAT(ask_as("stranger:pw", "/data/projects").rows(), IsEmpty());
  EXPECT_THAT(ask_as("reader:pw", file_), HasBody("content"));
  const std::vector<std::string> upload = {"-X", "PUT", "-d", "x"};
  EXPECT_THAT(ask_as("reader:pw", "/data/" + kResource + "/files/new?inbody=true", upload),
              HasBody(""));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("f", "content")));
  EXPECT_THAT(
      ask_as("reader:pw", "/data/" + kSession + "/scans/2?xsiType=xnat:mrScanData", {"-X", "PUT"}),
      HasStatus(403));
  EXPECT_THAT(ask_as("member:pw", "/data/" + kResource + "/files/new?inbody=true", upload),
              HasBody(""));
  EXPECT_THAT(ask_as("member:pw", file_, {"-X", "DELETE"}), HasStatus(403));
  EXPECT_THAT(ask_as("owner:pw", file_, {"-X", "DELETE"}), HasStatus(200));
  EXPECT_THAT(server_.files(kResource), ElementsAre(Pair("new", "x")));
}

TEST_F(XnatStandInWithUsers, AnswersWhoIsNotKnown) {
  const Reply wrong = ask_as("owner:wrong", file_);
  EXPECT_THAT(wrong, HasStatus(401));
  EXPECT_FALSE(wrong.fields.contains("www-authenticate"));
  EXPECT_EQ(ask_as_nobody(file_).field("www-authenticate"), "Basic realm=\"XNAT\"");
  EXPECT_THAT(ask_as_nobody(file_, {"-A", "Mozilla/5.0"}).field("location"), HasSubstr("Login.vm"));
  EXPECT_THAT(ask_as_nobody("/xapi/siteConfig/buildInfo"), HasStatus(200));
}

TEST_F(XnatStandInWithUsers, LocksAnAccountAfterTwentyFailures) {
  for (int i = 0; i < 20; ++i) ask_as("owner:wrong", "/data/JSESSION");
  EXPECT_THAT(ask_as("owner:pw", "/data/JSESSION"), HasStatus(401));
  EXPECT_EQ(server_.counters().failed_logins, 21);
}

TEST_F(XnatStandInWithUsers, KeepsASessionUntilItEndsOrExpires) {
  const std::string session = ask_as("reader:pw", "/data/JSESSION").body;
  const std::vector<std::string> cookie = {"-b", "JSESSIONID=" + session};
  EXPECT_THAT(ask_as_nobody(file_, cookie), HasBody("content"));
  EXPECT_THAT(ask_as_nobody("/data/auth", cookie), HasBody("User 'reader' is logged in"));
  EXPECT_EQ(server_.counters().logins, 1);
  EXPECT_THAT(ask_as_nobody("/data/JSESSION", {"-X", "DELETE", cookie[0], cookie[1]}), HasBody(""));
  EXPECT_EQ(server_.counters().logouts, 1);
  EXPECT_EQ(server_.counters().live_sessions, 0);
  EXPECT_THAT(ask_as_nobody(file_, cookie), HasStatus(401));
  server_.set_login_page(true);
  EXPECT_THAT(ask_as_nobody(file_, cookie).body, StartsWith("<!DOCTYPE HTML>"));
  // The password beside the cookie renews it.
  const Reply renewed = ask_as("reader:pw", file_, cookie);
  EXPECT_THAT(renewed, HasBody("content"));
  EXPECT_EQ(server_.counters().logins, 2);
}

TEST_F(XnatStandInWithUsers, BeginsASessionForEachRequestWithoutOneUpToALimit) {
  server_.set_max_sessions(2);
  EXPECT_THAT(ask_as("reader:pw", file_), HasStatus(200));
  EXPECT_THAT(ask_as("reader:pw", file_), HasStatus(200));
  EXPECT_THAT(ask_as("reader:pw", file_), HasStatus(401));
  server_.set_session_timeout(milliseconds(0));
  EXPECT_THAT(ask_as("reader:pw", file_), HasStatus(200));
}

TEST_F(XnatStandInWithUsers, LogsInByFormAndByToken) {
  const std::string path = "/data/services/auth";
  EXPECT_EQ(ask_as_nobody(path, {"-X", "PUT", "-d", "username=reader&password=pw"}).body.size(),
            32u);
  EXPECT_THAT(ask_as_nobody(path, {"-X", "PUT", "-d", "username=reader&password=no"}),
              AllOf(HasStatus(401), Field(&Reply::body, "Authentication failed.")));
  const Json token = Json::parse(ask_as("reader:pw", "/data/services/tokens/issue").body);
  const std::string alias = token["alias"];
  const std::string secret = token["secret"];
  EXPECT_THAT(ask_as(alias + ":" + secret, "/data/auth"), HasBody("User 'reader' is logged in"));
  EXPECT_THAT(ask_as("reader:pw", "/data/services/tokens/invalidate/" + alias + "/" + secret).body,
              HasSubstr("OK"));
  EXPECT_THAT(ask_as(alias + ":" + secret, "/data/auth"), HasStatus(401));
}

class OpenXnatStandIn : public XnatStandInWithUsers {
 protected:
  OpenXnatStandIn() : XnatStandInWithUsers({.tls = true, .context = "/xnat", .open = true}) {
    trust_ = {"--cacert", server_.authority()};
  }
  std::vector<std::string> trust_;
};

TEST_F(OpenXnatStandIn, TakesWhoDoesNotLogInForGuest) {
  EXPECT_THAT(ask_as_nobody(file_, trust_), HasStatus(404));
  server_.add("projects/P", {.access = XnatAccess::Protected});
  EXPECT_THAT(ask_as_nobody("/data/projects", trust_).rows().size(), 1u);
  EXPECT_THAT(ask_as_nobody("/data/projects/P/subjects", trust_), HasStatus(403));
  EXPECT_THAT(ask_as_nobody(file_, trust_), HasStatus(404));
  server_.add("projects/P", {.access = XnatAccess::Public});
  EXPECT_THAT(ask_as_nobody(file_, trust_), HasBody("content"));
  EXPECT_EQ(server_.counters().logins, 0);
  const Reply reply = ask_as_nobody("/data/" + kResource + "/files", trust_);
  EXPECT_THAT(reply.field("set-cookie"), HasSubstr("SESSION_EXPIRATION_TIME="));
  EXPECT_THAT(reply.body, HasSubstr("\"serverRoot\":\"/xnat\""));
  EXPECT_THAT(reply.rows()[0]["URI"].get<std::string>(), StartsWith("/data/projects/"));
}

TEST_F(XnatStandInWithUsers, KeepsTheSessionOfATokenWhoseNameIsSentAlong) {
  const Json token = Json::parse(ask_as("reader:pw", "/data/services/tokens/issue").body);
  const std::string user =
      token["alias"].get<std::string>() + ":" + token["secret"].get<std::string>();
  const std::string session = ask_as(user, "/data/JSESSION").body;
  server_.forget_requests();
  EXPECT_THAT(ask_as(user, file_, {"-b", "JSESSIONID=" + session}), HasBody("content"));
  EXPECT_EQ(server_.counters().logins, 0);
}

TEST_F(XnatStandInWithUsers, WantsATokenOfBrowsersThatChangeThings) {
  const std::string path = "/data/" + kResource + "/files/new?inbody=true";
  const std::vector<std::string> browser = {"-X", "PUT", "-d", "x", "-A", "Mozilla/5.0"};
  EXPECT_THAT(ask_as("owner:pw", path, browser), HasStatus(500));
}

// --- Connections ---------------------------------------------------------------------------------

TEST_F(XnatStandIn, ClosesAConnectionAfterAHundredRequests) {
  run({.arguments = {"/usr/bin/curl", "-sS",
                     server_.base_url() + "/xapi/siteConfig/buildInfo?[1-101]"}});
  const std::vector<XnatRequest> requests = server_.requests();
  ASSERT_EQ(requests.size(), 101u);
  EXPECT_EQ(requests[99].connection, requests[0].connection);
  EXPECT_NE(requests[100].connection, requests[0].connection);
}

// --- Faults --------------------------------------------------------------------------------------

TEST_F(XnatStandIn, GoesWrongAsItIsTold) {
  using Kind = XnatFault::Kind;
  server_.add_file(kResource, "ten", "0123456789");
  const std::string path = "/data/" + kResource + "/files/ten";
  server_.add_fault({.kind = Kind::Status, .path = "/ten", .skip = 1, .times = 1, .status = 502});
  EXPECT_THAT(ask(path), HasStatus(200));
  EXPECT_THAT(ask(path), AllOf(HasStatus(502), Field(&Reply::body, StartsWith("<html>"))));
  server_.add_fault({.kind = Kind::Truncate, .method = "GET", .times = 1, .bytes = 4});
  EXPECT_THAT(ask(path), AllOf(Field(&Reply::body, "0123"), Field(&Reply::curl, 18)));
  server_.add_fault({.kind = Kind::Reset, .times = 1, .bytes = 4});
  EXPECT_THAT(ask(path), Field(&Reply::curl, 56));
  server_.add_fault({.kind = Kind::LoginPage, .times = 1});
  EXPECT_THAT(ask(path).body, StartsWith("<!DOCTYPE HTML>"));
  server_.add_fault({.kind = Kind::LoseAnswer, .method = "PUT", .status = 504});
  EXPECT_THAT(put("/data/" + kResource + "/files/new", "new"), HasStatus(504));
  EXPECT_EQ(server_.files(kResource).at("new"), "new");
  server_.clear_faults();
  server_.add_fault({.kind = Kind::ConcurrentModification, .times = 1});
  EXPECT_THAT(put("/data/" + kResource + "/files/newer", "newer"), HasStatus(500));
  EXPECT_THAT(put("/data/" + kResource + "/files/newer", "x"),
              HasBody("{\"duplicates\":[\"newer\"]}"));
  EXPECT_THAT(put("/data/" + kResource + "/files/newer?overwrite=true", "again"), HasBody(""));
  EXPECT_THAT(ask(path), HasBody("0123456789"));
}

TEST_F(XnatStandIn, HoldsAnAnswerUntilItIsReleased) {
  server_.add_file(kResource, "ten", "0123456789");
  server_.add_fault({.kind = XnatFault::Kind::Hold, .bytes = 5});
  Reply reply;
  std::thread asking([&] { reply = ask("/data/" + kResource + "/files/ten"); });
  EXPECT_TRUE(server_.wait_for_held(1));
  EXPECT_THAT(server_.requests(), IsEmpty());
  server_.release();
  asking.join();
  EXPECT_THAT(reply, HasBody("0123456789"));
}

TEST_F(XnatStandIn, DropsConnectionsAndExpiresSessionsOnDemand) {
  server_.add_file(kResource, "ten", "0123456789");
  const std::string path = "/data/" + kResource + "/files/ten";
  server_.add_fault({.kind = XnatFault::Kind::Hold});
  Reply reply;
  std::thread asking([&] { reply = ask(path); });
  EXPECT_TRUE(server_.wait_for_held(1));
  server_.drop_connections();
  asking.join();
  EXPECT_NE(reply.curl, 0);
  server_.release();
  const std::vector<std::string> cookie = {"-b", "JSESSIONID=" + ask("/data/JSESSION").body};
  EXPECT_THAT(ask_as_nobody(path, cookie), HasBody("0123456789"));
  server_.add_fault({.kind = XnatFault::Kind::ExpireSession, .skip = 1, .times = 1});
  EXPECT_THAT(ask_as_nobody(path, cookie), HasBody("0123456789"));
  EXPECT_THAT(ask_as_nobody(path, cookie), HasStatus(401));
  const std::vector<std::string> other = {"-b", "JSESSIONID=" + ask("/data/JSESSION").body};
  server_.expire_sessions();
  EXPECT_THAT(ask_as_nobody(path, other), HasStatus(401));
  server_.add_fault({.kind = XnatFault::Kind::Delay, .delay = std::chrono::minutes(1)});
  EXPECT_EQ(ask(path, {"--max-time", "0.3"}).curl, 28);
}

TEST_F(XnatStandIn, LeavesAPieceOfAnUploadThatBreaksOff) {
  server_.add(kResource);
  server_.add_fault({.kind = XnatFault::Kind::DropUpload, .times = 1, .bytes = 4});
  const std::string path = "/data/" + kResource + "/files/f";
  EXPECT_NE(put(path, "0123456789").curl, 0);
  EXPECT_THAT(server_.files(kResource), IsEmpty());
  EXPECT_THAT(put(path, "0123456789"), HasBody("{\"duplicates\":[\"f\"]}"));
  EXPECT_THAT(put(path + "?overwrite=true", "0123456789"), HasBody(""));
  EXPECT_EQ(server_.files(kResource).at("f"), "0123456789");
}

TEST_F(XnatStandIn, LetsCatalogsBeWrong) {
  server_.add_file(kResource, "f", "content");
  server_.set_entry(kResource, "f", "", "");
  const std::string list = "/data/" + kResource + "/files";
  EXPECT_THAT(
      (std::vector<std::string>{ask(list).rows()[0]["Size"], ask(list).rows()[0]["digest"]}),
      ElementsAre("", ""));
  server_.set_entry(kResource, "f", "7", {});
  server_.change_file(kResource, "f", "longer content");
  EXPECT_EQ(ask(list).rows()[0]["Size"], "7");
  EXPECT_THAT(ask(list + "/f"), HasBody("longer content"));
  server_.lose_file(kResource, "f");
  EXPECT_EQ(ask(list).rows().size(), 1u);
  EXPECT_THAT(ask(list + "/f"), AllOf(HasStatus(404), Field(&Reply::body, "")));
  EXPECT_THAT(ask("/data/services/refresh/catalog?resource=/archive/" + kResource, {"-X", "POST"}),
              HasStatus(200));
  EXPECT_THAT(ask(list).rows(), IsEmpty());
}

TEST_F(XnatStandIn, CountsWhatItIsAsked) {
  server_.add_file(kResource, "f", "content");
  ask("/data/" + kResource + "/files/f");
  ask("/data/" + kResource + "/files");
  const XnatCounters counters = server_.counters();
  EXPECT_THAT(counters.requests, ElementsAre(Pair("file", 1), Pair("files", 1)));
  EXPECT_EQ(counters.most_connections, 1);
  EXPECT_TRUE(eventually([this] { return server_.counters().open_connections == 0; }));
  const std::vector<XnatRequest> requests = server_.requests();
  EXPECT_EQ(requests[0].bytes_sent, 7u);
  EXPECT_EQ(requests[0].target, "/data/" + kResource + "/files/f");
  server_.forget_requests();
  EXPECT_THAT(server_.requests(), IsEmpty());
}

// --- A client that others wrote ------------------------------------------------------------------

TEST_F(XnatStandIn, SatisfiesPyxnat) {
  server_.add("projects/OLD");
  const Outcome outcome =
      run({.arguments = {"/usr/bin/python3", "-B", RED_INTEGRATION_TESTS "/pyxnat_client.py",
                         server_.base_url(), server_.username(), server_.password()}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors << server_.log();
  EXPECT_EQ(server_.counters().live_sessions, 0);
}

}  // namespace
}  // namespace red::testing
