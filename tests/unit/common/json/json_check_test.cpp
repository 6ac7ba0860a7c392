#include "common/json/json_check.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "tests/fakes/text_source.h"

namespace red {
namespace {

std::optional<Error> fault_of(std::string_view text, std::size_t piece = 1'000'000) {
  try {
    JsonCheck check;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      check.update(std::as_bytes(std::span(text.substr(at, piece))));
    }
    check.finish();
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

bool is_json(std::string_view text, std::size_t piece = 1'000'000) {
  return !fault_of(text, piece);
}

std::string message_of(std::string_view text) {
  const auto fault = fault_of(text);
  return fault ? fault->message() : "no error";
}

/// The parser that the rest of the program uses: refuses the same but for numbers that it cannot
/// represent, a mark that it skips, and halves of surrogate pairs.
bool is_json_for_parser(const std::string& text) { return nlohmann::json::accept(text); }

const std::vector<std::string> kValid{
    "null",
    "true",
    " false\r\n\t",
    "0",
    "-0",
    "-0.0e-0",
    "10",
    "1.5",
    "1e5",
    "1E+5",
    "123.456e-789",
    "\"\"",
    "\"a\"",
    R"("\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00")",
    "\"\x7f\"",
    "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf"
    "\xbf\"",
    "[]",
    "{}",
    "[ ]",
    "{ }",
    "[1,2 , 3]",
    "[[[]],{}]",
    R"({"a":1,"a":[{"b":null}], "":""})",
    "[1,-2.5e3,true,false,null,\"x\",{}]",
};

const std::vector<std::string> kInvalid{
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "t rue",
    "1 2",
    "01",
    "-",
    "+1",
    "-01",
    "1.",
    ".5",
    "1.e5",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "NaN",
    "Infinity",
    "'a'",
    "\"",
    "\"a",
    "\"\\",
    R"("\x41")",
    R"("\u12g4")",
    R"("\u12")",
    "\"\t\"",
    "\"a\nb\"",
    "\"\x80\"",
    "\"\xc0\x80\"",
    "\"\xc1\xbf\"",
    "\"\xe0\x9f\xbf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf0\x8f\xbf\xbf\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xe2\x82\"",
    "\"\xc3",
    "\xc3\xa9",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{a:1}",
    "{1:1}",
    "[] []",
    "[]]",
    "{}}",
    "[]x",
    "// x\n1",
    "1 /* x */",
    "<html></html>",
    "[1]\f",
};

TEST(JsonCheck, TakesWhatTheGrammarTakes) {
  for (const std::string& text : kValid) {
    EXPECT_EQ(message_of(text), "no error") << text;
    EXPECT_TRUE(is_json_for_parser(text)) << text;
  }
  EXPECT_FALSE(is_json(std::string_view("\"a\0b\"", 5)));
  EXPECT_FALSE(is_json(std::string_view("1\0", 2)));
}

TEST(JsonCheck, RefusesEverythingElse) {
  for (const std::string& text : kInvalid) {
    EXPECT_FALSE(is_json(text)) << text;
    EXPECT_FALSE(is_json_for_parser(text)) << text;
  }
}

TEST(JsonCheck, TakesNumbersOfAnySize) {
  EXPECT_TRUE(is_json("1e400"));
  EXPECT_TRUE(is_json("-1e-400"));
  EXPECT_TRUE(is_json("[" + std::string(100'000, '9') + "]"));
}

TEST(JsonCheck, DoesNotCareHowTheTextIsCut) {
  for (const std::size_t piece : {1U, 2U, 3U}) {
    for (const std::string& text : kValid) EXPECT_TRUE(is_json(text, piece)) << text;
    for (const std::string& text : kInvalid) EXPECT_FALSE(is_json(text, piece)) << text;
  }
}

TEST(JsonCheck, TellsThePlaceAndNothingOfTheText) {
  EXPECT_EQ(message_of("{\n  \"secret\": 1,\n  \"other\" 2}"),
            "it is not valid JSON: line 3, column 11: expected is a colon");
  EXPECT_EQ(message_of("[1,]"), "it is not valid JSON: line 1, column 4: expected is a value");
  EXPECT_EQ(message_of("\"\xc3\xa9\\q\""),
            "it is not valid JSON: line 1, column 5: no such escape");
  EXPECT_EQ(message_of("[1,\n2"), "it is not valid JSON: line 2, column 2: it ends too early");
  EXPECT_EQ(message_of(""), "it is not valid JSON: line 1, column 1: it is empty");
  EXPECT_EQ(fault_of("x")->kind(), ErrorKind::Integrity);
}

TEST(JsonCheck, RefusesAByteOrderMark) {
  EXPECT_EQ(message_of("\xef\xbb\xbf{}"),
            "it is not valid JSON: line 1, column 1: a byte order mark, which JSON must not have "
            "(RFC 8259 section 8.1)");
}

TEST(JsonCheck, TakesDeepTextsUpToItsLimit) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(is_json(nested(JsonCheck::kMaxNesting)));
  EXPECT_EQ(message_of(nested(JsonCheck::kMaxNesting + 1)),
            "it is not valid JSON: line 1, column 1000001: too many arrays and objects in one "
            "another");
}

TEST(JsonCheck, ReadsASourceToItsEnd) {
  testing::TextSource good("[" + std::string(1'000'000, ' ') + "1]");
  EXPECT_NO_THROW(check_json(good));
  testing::TextSource bad("[" + std::string(1'000'000, ' ') + "1");
  EXPECT_THROW(check_json(bad), Error);
}

RC_GTEST_PROP(JsonCheckProperty, AgreesWithTheParserAboutTextsWithAnError, ()) {
  std::string text = *rc::gen::elementOf(std::vector<std::string>{
      R"({"a":[1,-2.5e3,true,"x\n\u00e9é"],"b":{"c":null,"d":[]}})", R"(["€😀",[[1]],{"":0}])"});
  const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
  const char by = *rc::gen::elementOf(std::string("[]{},:\"\\0e.-tnfu \n\x80\xc3\xed\xf4"));
  if (*rc::gen::arbitrary<bool>()) {
    text[at] = by;
  } else if (*rc::gen::arbitrary<bool>()) {
    text.insert(at, 1, by);
  } else {
    text.erase(at, 1);
  }
  RC_ASSERT(is_json(text, *rc::gen::inRange<std::size_t>(1, 8)) == is_json_for_parser(text));
}

}  // namespace
}  // namespace red
