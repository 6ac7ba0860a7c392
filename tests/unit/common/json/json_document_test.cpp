#include "common/json/json_document.h"

#include <gtest/gtest.h>

#include <string>

#include "common/error.h"

namespace red {
namespace {

std::string message_for(std::string_view text) {
  try {
    parse_json(text, "access data a.json").problems.throw_if_any("access data a.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidAccess);
    return error.message();
  }
  return "no error";
}

TEST(JsonDocument, KeepsEveryKindOfValue) {
  const std::string text = R"({"a":[null,true,-5,18446744073709551615,1.5,"\u00e4\n"],"b":{}})";
  EXPECT_EQ(parse_json(text, "x").root.to_text(),
            "{\"a\":[null,true,-5,18446744073709551615,1.5,\"ä\\n\"],\"b\":{}}");
}

TEST(JsonDocument, TakesANumberWithoutFractionForAnInteger) {
  const JsonValue root = parse_json("[32.0, 32.5, -1, 1e300]", "x").root;
  EXPECT_EQ((*root.array())[0].type(), JsonType::Integer);
  EXPECT_EQ((*root.array())[0].unsigned_integer(), 32u);
  EXPECT_EQ((*root.array())[1].type(), JsonType::Number);
  EXPECT_EQ((*root.array())[2].unsigned_integer(), std::nullopt);
  EXPECT_EQ((*root.array())[3].unsigned_integer(), std::nullopt);
}

TEST(JsonDocument, SkipsAByteOrderMark) {
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{}", "x").root.type(), JsonType::Object);
}

TEST(JsonDocument, NamesLineAndColumnOfASyntaxError) {
  const std::string message = message_for("{\n  \"a\": 1,\n  \"b\" 2\n}");
  EXPECT_TRUE(message.starts_with("access data a.json is invalid: 1 problem\nline 3, column 7: "))
      << message;
}

TEST(JsonDocument, DoesNotCountAByteOrderMarkAsAColumn) {
  EXPECT_NE(message_for("\xEF\xBB\xBF}").find("line 1, column 1: "), std::string::npos);
}

TEST(JsonDocument, NeverShowsWhatTheTextHolds) {
  for (const std::string_view text :
       {R"({"password": "hunter2)", R"({"password": "hunter2" x})",
        "{\"password\": \"hunter2\xff\"}", R"({"password": hunter2})",
        "{\"password\": \"hunter2\n\"}", R"({"n": 1e999, "p":"hunter2"})",
        R"({"password": "hunter2'; expected hunter2)"}) {
    const std::string message = message_for(text);
    EXPECT_NE(message.find("line "), std::string::npos) << message;
    EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
  }
}

TEST(JsonDocument, SaysThatTextIsNotUtf8) {
  EXPECT_NE(message_for("{\"a\": \"\xff\xfe\"}").find("UTF-8"), std::string::npos);
}

TEST(JsonDocument, RefusesAnEmptyFileAndWhatFollowsTheDocument) {
  EXPECT_NE(message_for("").find("unexpected end of input"), std::string::npos);
  EXPECT_NE(message_for("{} {}").find("line 1, column 4"), std::string::npos);
}

TEST(JsonDocument, ReportsEveryRepeatedKeyWithItsPlace) {
  EXPECT_EQ(message_for(R"({"a": 1, "b": [{"c": 1, "c": 2}], "a": 3})"),
            "access data a.json is invalid: 2 problems\n"
            "/a: stands here more than once\n"
            "/b/0/c: stands here more than once");
}

TEST(JsonDocument, CountsTheFirstOfRepeatedKeys) {
  EXPECT_EQ(parse_json(R"({"a":1,"b":2,"a":3})", "x").root.to_text(), R"({"a":1,"b":2})");
}

TEST(JsonDocument, BoundsTheDepth) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(message_for(nested(kMaxJsonDepth)), "no error");
  EXPECT_NE(message_for(nested(kMaxJsonDepth + 1)).find("deeper than 64"), std::string::npos);
  EXPECT_NE(message_for(std::string(10'000'000, '[')).find("deeper than 64"), std::string::npos);
}

TEST(JsonPlace, IsAJsonPointerWithControlCharactersMadeVisible) {
  const JsonPlace root;
  const JsonPlace first(root, "a/b~c");
  const JsonPlace second(first, std::size_t{7});
  EXPECT_EQ(JsonPlace(second, "x\n\x1b").text(), "/a~1b~0c/7/x\\u000a\\u001b");
  EXPECT_EQ(root.text(), "(top level)");
}

TEST(Problems, ShowsAHundredLinesAndCountsTheRest) {
  Problems problems;
  for (int i = 0; i < 1000; ++i) problems.add("/x", "wrong");
  try {
    problems.throw_if_any("listing l");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_TRUE(error.message().starts_with("listing l is invalid: 1000 problems\n/x: wrong\n"));
    EXPECT_TRUE(error.message().ends_with("\n… and 900 more")) << error.message();
  }
}

}  // namespace
}  // namespace red
