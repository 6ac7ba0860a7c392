// What `schema` prints, against what reads access data: both must say the same of every document.
// The schema is put to use by a validator of others (valijson). Only for these reasons may access
// data be refused that its schema accepts:
//   - a key stands twice in one object, or a header field in two spellings;
//   - a private key or a host key looks like one and cannot be decoded, or the passphrase is wrong;
//   - a file that is named (listing, caCertificate) cannot be read, or holds no certificate;
//   - it nests deeper than a schema can count;
//   - two entries of a listing's directory have one name, or what a listing's file holds is wrong;
//   - a size in a listing exceeds 64 bits: the schema says so, valijson counts no further.
// A schema never refuses what is accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "cli/command_line.h"
#include "cli/connectors.h"
#include "common/json/json_schema.h"
#include "common/logging.h"
#include "tests/support/file_tree.h"
#include "tests/support/temporary_directory.h"

namespace red {
namespace {

using Json = nlohmann::json;
using testing::read_file;

constexpr const char* kFiles[] = {"http.json", "http_json.json", "http_archive.json",
                                  "sftp.json", "xnat.json",      "site.json"};

// --- The reader ----------------------------------------------------------------------------------

/// What is wrong, one line each; empty if nothing is.
std::string problems_of(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess) << error.message();
    const std::string& message = error.message();
    return message.substr(message.find('\n') + 1);
  }
  return {};
}

std::string problems_of_site_file(const std::string& text) {
  static const testing::TemporaryDirectory directory;
  const auto file = directory / "site.json";
  testing::write_file(file, text);
  return problems_of([&] { read_site_options(file); });
}

std::string problems_of_access(const std::string& connector, Purpose purpose,
                               const std::string& text) {
  return problems_of(
      [&] { prepare_remote(connector, parse_json(text, "access data a.json"), purpose, {}); });
}

// --- The schema ----------------------------------------------------------------------------------

/// A whole number is an integer however it is written (draft-07, section 6.1.1); valijson goes by
/// the way it is written.
Json with_plain_integers(Json value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) < 0x1p62) {
      return static_cast<std::int64_t>(number);
    }
    if (std::trunc(number) == number) return std::numeric_limits<std::int64_t>::max();
  }
  if (value.is_structured()) {
    for (Json& element : value) element = with_plain_integers(std::move(element));
  }
  return value;
}

/// valijson takes a whole number that exceeds 63 bits for a negative one, but not as a fraction.
Json with_signed_integers(Json value) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > kLargest) {
    return value.get<double>();
  }
  if (value.is_structured()) {
    for (Json& element : value) element = with_signed_integers(std::move(element));
  }
  return value;
}

class Schema {
 public:
  explicit Schema(const JsonValue& schema) : json_(Json::parse(schema.to_text())) {
    const Json signed_json = with_signed_integers(json_);
    const valijson::adapters::NlohmannJsonAdapter adapter(signed_json);
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(adapter, schema_);
  }

  const Json& json() const { return json_; }
  bool accepts(const Json& document) const {
    const Json plain = with_plain_integers(with_signed_integers(document));
    const valijson::adapters::NlohmannJsonAdapter adapter(plain);
    return validator_.validate(schema_, adapter, nullptr);
  }

 private:
  Json json_;
  valijson::Schema schema_;
  // It keeps the regular expressions that it has compiled.
  mutable valijson::Validator validator_;
};

/// One form, as it is read and as its schema says.
struct Form {
  std::string name;
  std::function<std::string(const std::string&)> problems;
  std::shared_ptr<const Schema> schema;
};

const Form& form_of(const std::string& connector, const std::string& subcommand) {
  static std::map<std::string, Form> forms;
  const std::string name = connector + " " + subcommand;
  const auto known = forms.find(name);
  if (known != forms.end()) return known->second;
  if (subcommand == kSiteSchema) {
    const auto schema = json_schema("site", {{"site", site_form()}});
    return forms[name] = {name, problems_of_site_file, std::make_shared<Schema>(schema)};
  }
  const auto rows = subcommands();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const Subcommand& each) { return each.name == subcommand; });
  const Purpose purpose = row->purpose;
  const auto problems = [connector, purpose](const std::string& text) {
    return problems_of_access(connector, purpose, text);
  };
  const auto schema = std::make_shared<Schema>(access_schema(connector, purpose, name));
  return forms[name] = {name, problems, schema};
}

// --- The examples --------------------------------------------------------------------------------

struct Example {
  std::string about;
  std::string text;
  std::string verdict;  ///< "accepted", "rejected", "beyond a schema"
  std::vector<const Form*> forms;
};

/// Keys and certificates are not repeated in the examples.
Json with_files(Json value) {
  if (value.is_structured()) {
    for (Json& element : value) element = with_files(std::move(element));
  }
  if (!value.is_string()) return value;
  const std::string text = value;
  const std::string certificate = RED_TEST_DATA "/common/net/certificate.pem";
  if (text == "@certificate@") return certificate;
  if (text == "@certificate text@") return read_file(certificate);
  if (!text.starts_with("@key:")) return value;
  return read_file(RED_TEST_DATA "/common/protocols/sftp/keys/" + text.substr(5, text.size() - 6));
}

std::vector<std::string> subcommands_for(const Json& group) {
  if (group.is_array()) return group;
  if (group == "files") return {"receive-file", "send-file"};
  if (group == "directories") return {"receive-dir", "mount-dir", "send-dir"};
  EXPECT_EQ(group, "all");
  return {"receive-file", "send-file", "receive-dir", "mount-dir", "send-dir"};
}

std::vector<Example> examples_in(const std::string& file) {
  const Json all = Json::parse(read_file(RED_TEST_DATA "/cli/access_examples/" + file));
  std::vector<Example> examples;
  for (const Json& each : all.at("examples")) {
    const std::string text =
        each.contains("text") ? each["text"].get<std::string>() : with_files(each["access"]).dump();
    Example example{each["about"], text, each["verdict"], {}};
    for (const std::string connector : all.at("connectors")) {
      for (const std::string& subcommand : subcommands_for(each["for"])) {
        example.forms.push_back(&form_of(connector, subcommand));
      }
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

/// Documents that are accepted, each with the forms that accept it.
const std::vector<Example>& good_examples() {
  static const auto examples = [] {
    std::vector<Example> good;
    for (const char* file : kFiles) {
      for (Example& example : examples_in(file)) {
        if (example.verdict == "accepted") good.push_back(std::move(example));
      }
    }
    return good;
  }();
  return examples;
}

// --- Agreement -----------------------------------------------------------------------------------

bool is_beyond_a_schema(const std::string& problem) {
  static const std::regex pattern(
      ".*: stands here more than once.*|"
      "/auth/privateKey: .*|/auth/passphrase: (missing: the private key is encrypted|"
      "does not open the private key)|"
      "/hostKey: must be a fingerprint that starts with SHA256:, or a line of known_hosts|"
      "/listing: (cannot (open|read) .*|listing .* is invalid: .*)|  .*|"
      "/listing(/[0-9]+/listing)*/[0-9]+/basename: another entry of this directory has this name|"
      "/listing(/[0-9]+/listing)*/[0-9]+/size: too large|"
      "/caCertificate: (cannot (open|read) .*|.* holds no certificate in PEM form)");
  return std::regex_match(problem, pattern);
}

bool are_all_beyond_a_schema(const std::string& problems) {
  std::istringstream lines(problems);
  for (std::string line; std::getline(lines, line);) {
    if (!is_beyond_a_schema(line)) return false;
  }
  return true;
}

/// What reader and schema do not agree about; empty if they do.
std::string disagreement(const Form& form, const Json& document) {
  const std::string problems = form.problems(document.dump());
  const bool is_valid = form.schema->accepts(document);
  if (is_valid == problems.empty()) return {};
  if (is_valid && are_all_beyond_a_schema(problems)) return {};
  return form.name + (is_valid ? ": the schema accepts " : ": the schema refuses ") +
         document.dump() + (problems.empty() ? ", which is read" : ", but: " + problems);
}

class AccessSchema : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { open_log(LogLevel::Error, {}); }
};

class AccessExamples : public AccessSchema, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, AccessExamples, ::testing::ValuesIn(kFiles), [](const auto& test) {
  const std::string name = test.param;
  return name.substr(0, name.find('.'));
});

TEST_P(AccessExamples, HaveTheirVerdictFromReaderAndSchema) {
  for (const Example& example : examples_in(GetParam())) {
    for (const Form* form : example.forms) {
      const std::string about = form->name + ": " + example.about + ": " + example.text;
      const std::string problems = form->problems(example.text);
      EXPECT_EQ(problems.empty(), example.verdict == "accepted") << about << "\n" << problems;
      EXPECT_EQ(form->schema->accepts(Json::parse(example.text)), example.verdict != "rejected")
          << about << "\n"
          << problems;
      if (example.verdict == "beyond a schema") {
        EXPECT_TRUE(are_all_beyond_a_schema(problems)) << about << "\n" << problems;
      }
    }
  }
}

// --- Every key, every kind of value --------------------------------------------------------------

const std::vector<Json>& values_of_every_kind() {
  static const std::vector<Json> values = Json::parse(
      R"([null, true, false, 0, -1, 1, 7, 1.5, 65535, 65536, 86400, 86401, 1e300, "", "x", "GET",
          "0", "2 GiB", "http://h:1/", ".", "a/b", "a\u0000b", "a\nb", "ä", [], ["x"], [1], {},
          {"x": "y"}, {"username": "u", "password": "p"}, {"token": "t"}, {"dir": "/d"}])");
  return values;
}

/// Every key that a schema names, with those of the objects in it, as JSON pointers.
void collect_keys(const Json& schema, const std::string& place, std::set<std::string>& keys) {
  for (const char* list : {"anyOf", "oneOf"}) {
    if (!schema.contains(list)) continue;
    for (const Json& each : schema[list]) collect_keys(each, place, keys);
  }
  if (!schema.contains("properties")) return;
  for (const auto& [key, value] : schema["properties"].items()) {
    keys.insert(place + "/" + key);
    collect_keys(value, place + "/" + key, keys);
  }
}

/// Puts a value there; an object is made where another value stands in between.
Json with_value(Json document, const std::string& pointer, const Json& value) {
  const std::size_t slash = pointer.rfind('/');
  if (slash > 0) {
    Json& parent = document[Json::json_pointer(pointer.substr(0, slash))];
    if (!parent.is_object()) parent = Json::object();
  }
  document[Json::json_pointer(pointer)] = value;
  return document;
}

/// The first example of each form that is accepted.
std::map<const Form*, Json> a_good_example_of_each_form() {
  std::map<const Form*, Json> documents;
  for (const Example& example : good_examples()) {
    for (const Form* form : example.forms) documents.try_emplace(form, Json::parse(example.text));
  }
  return documents;
}

TEST_F(AccessSchema, AgreesWithTheReaderAboutEveryKindOfValueOfEveryKey) {
  for (const auto& [form, document] : a_good_example_of_each_form()) {
    std::set<std::string> keys{"/unknown", "/auth/unknown", "/cache/unknown", "/headers/X"};
    collect_keys(form->schema->json(), "", keys);
    ASSERT_GT(keys.size(), 8u) << form->name;
    for (const std::string& key : keys) {
      for (const Json& value : values_of_every_kind()) {
        EXPECT_EQ(disagreement(*form, with_value(document, key, value)), "");
      }
    }
  }
}

// --- Random changes ------------------------------------------------------------------------------

std::vector<Json::json_pointer> places_in(const Json& document) {
  std::vector<Json::json_pointer> places;
  const Json flat = document.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    for (Json::json_pointer place(pointer); !place.empty(); place = place.parent_pointer()) {
      places.push_back(place);
    }
  }
  return places;
}

template <typename Container>
auto one_of(const Container& container) {
  return container[*rc::gen::inRange<std::size_t>(0, container.size())];
}

/// Puts something in place of a few characters. What is not ASCII grows only: half a character is
/// no JSON.
std::string change_of_text(const std::string& text) {
  static const std::vector<std::string> pieces = {
      "",     " ",       "  ",      "/",     "//",  ":", "@",  "#",  "?",    "[",
      "]",    "%",       ".",       "..",    ",",   "=", "-",  "+",  "0",    "1",
      "9",    "a",       "Z",       "_",     "~",   "ä", "\n", "\t", "\x7f", std::string(1, '\0'),
      "\r\n", "http://", "SHA256:", "65536", "GiB", "B"};
  const bool is_ascii = std::all_of(text.begin(), text.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!is_ascii) return text + one_of(pieces);
  const auto begin = *rc::gen::inRange<std::size_t>(0, text.size() + 1);
  const auto end = std::min(text.size(), begin + *rc::gen::inRange<std::size_t>(0, 4));
  return text.substr(0, begin) + one_of(pieces) + text.substr(end);
}

Json change_of(const Json& value) {
  if (value.is_string() && *rc::gen::inRange(0, 4) > 0) return change_of_text(value);
  return one_of(values_of_every_kind());
}

void drop(Json& document, const Json::json_pointer& place) {
  Json& parent = document[place.parent_pointer()];
  if (parent.is_object()) {
    parent.erase(place.back());
  } else {
    parent.erase(std::stoul(place.back()));
  }
}

/// Drops a key, adds one, or changes a value.
void change(Json& document, const std::vector<std::string>& keys) {
  const auto places = places_in(document);
  const int kind = places.empty() ? 0 : *rc::gen::inRange(0, 6);
  if (kind == 0) {
    document = with_value(document, one_of(keys), one_of(values_of_every_kind()));
  } else if (kind == 1) {
    drop(document, one_of(places));
  } else {
    Json& value = document[one_of(places)];
    value = change_of(value);
  }
}

RC_GTEST_FIXTURE_PROP(AccessSchema, AgreesWithTheReaderAboutRandomChanges, ()) {
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    const Example& example =
        good_examples()[*rc::gen::inRange<std::size_t>(0, good_examples().size())];
    const Form& form = *one_of(example.forms);
    std::set<std::string> keys;
    collect_keys(form.schema->json(), "", keys);
    Json document = Json::parse(example.text);
    for (int changes = *rc::gen::inRange(1, 4); changes > 0; --changes) {
      change(document, {keys.begin(), keys.end()});
    }
    RC_ASSERT(disagreement(form, document) == "");
  }
}

// --- What is printed -----------------------------------------------------------------------------

TEST_F(AccessSchema, ValidationsTakeWhatTheirFunctionTakes) {
  for (const Subcommand& row : subcommands()) {
    if (row.action != Action::Validate) continue;
    const std::string name(row.name);
    EXPECT_EQ(form_of("red-connector", name).schema->json()["oneOf"],
              form_of("red-connector", name.substr(0, name.rfind('-'))).schema->json()["oneOf"]);
  }
}

TEST_F(AccessSchema, IsThereForTheFunctionsThatTheConnectorHas) {
  EXPECT_NO_THROW(access_schema("red-connector-http-json", Purpose::SendFile, "t"));
  try {
    access_schema("red-connector-http-json", Purpose::MountDir, "t");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Unsupported);
  }
}

TEST_F(AccessSchema, TellsWhatPeopleNeed) {
  const Json schema = form_of("red-connector-ssh", "mount-dir").schema->json();
  EXPECT_EQ(schema["$schema"], "http://json-schema.org/draft-07/schema#");
  EXPECT_EQ(schema["title"], "red-connector-ssh mount-dir");
  EXPECT_EQ(schema["required"], Json::parse(R"(["host"])"));
  EXPECT_EQ(schema["properties"]["port"],
            Json::parse(R"({"description": "port of the server", "default": 22, "type": "integer",
                            "minimum": 1, "maximum": 65535})"));
  EXPECT_EQ(schema["properties"]["listing"]["anyOf"][0],
            Json::parse(R"({"$ref": "#/definitions/listing"})"));
  const Json http = form_of("red-connector-http", "send-file").schema->json();
  EXPECT_EQ(http["properties"]["method"]["default"], "POST");
  EXPECT_EQ(http["properties"]["connections"]["default"], 32);
  const Json any = form_of("red-connector", "send-file").schema->json();
  ASSERT_EQ(any["oneOf"].size(), 3u);
  EXPECT_EQ(any["oneOf"][0]["title"], "red-connector-http");
}

TEST_F(AccessSchema, TellsTheFormOfAListingOnce) {
  const Json definitions = form_of("red-connector", "mount-dir").schema->json()["definitions"];
  ASSERT_EQ(definitions.size(), 1u);
  EXPECT_EQ(definitions["listing"]["type"], "array");
  const Json& entries = definitions["listing"]["items"]["anyOf"];
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0]["properties"]["class"]["enum"], Json::parse(R"(["File"])"));
  EXPECT_EQ(entries[0]["properties"]["size"]["maximum"], std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(entries[1]["properties"]["class"]["enum"], Json::parse(R"(["Directory"])"));
  EXPECT_EQ(entries[1]["properties"]["listing"]["allOf"],
            Json::parse(R"([{"$ref": "#/definitions/listing"}])"));
  EXPECT_FALSE(
      form_of("red-connector", std::string(kSiteSchema)).schema->json().contains("definitions"));
}

}  // namespace
}  // namespace red
