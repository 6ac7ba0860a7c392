#include "common/json/json_schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/json/field_table.h"

namespace red {
namespace {

using Json = nlohmann::ordered_json;

struct Form {
  std::optional<std::string> a;
  std::optional<std::string> b;
  std::optional<std::string> c;
};

FieldTable<Form> letters() {
  return FieldTable<Form>()
      .add({.key = "a", .meaning = "first", .default_words = "none"}, text(&Form::a))
      .add({.key = "b", .meaning = "second", .default_value = json_string("x")},
           choice(&Form::b, {"x", "y"}))
      .add({.key = "c", .meaning = "third", .required = true}, secret(&Form::c));
}

Json schema_of(const FieldTable<Form>& table) {
  return Json::parse(json_schema("t", {{"t", table.description()}}).to_text());
}

/// The one rule of a table.
Json schema_of(const Rule& rule) { return schema_of(letters().add(rule))["allOf"][0]; }

TEST(JsonSchema, TellsWhatTheTableKnows) {
  EXPECT_EQ(schema_of(letters()), Json::parse(R"({
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "t",
    "type": "object",
    "properties": {
      "a": {"description": "first; default: none", "type": "string", "minLength": 1},
      "b": {"description": "second", "default": "x", "type": "string", "enum": ["x", "y"]},
      "c": {"description": "third", "type": "string", "pattern": "^[^\\x00]*$"}
    },
    "required": ["c"],
    "additionalProperties": false})"));
}

TEST(JsonSchema, TellsWhatKeysSayTogether) {
  EXPECT_EQ(schema_of(one_of_needed({"a", "b"}, "a", "missing")),
            Json::parse(R"({"description": "a: missing",
                            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})"));
  EXPECT_EQ(schema_of(needs("a", {"b"}, "b")), Json::parse(R"({"description": "b: missing",
                            "if": {"required": ["a"]}, "then": {"required": ["b"]}})"));
  EXPECT_EQ(schema_of(not_together("a", {"b"}, {}, "not both")),
            Json::parse(R"({"description": "not both", "not": {"required": ["a", "b"]}})"));
  EXPECT_EQ(schema_of(not_together("a", {"b", "c"}, {}, "not both")),
            Json::parse(R"({"description": "not both", "not": {"allOf": [
                {"required": ["a"]}, {"anyOf": [{"required": ["b"]}, {"required": ["c"]}]}]}})"));
}

TEST(JsonSchema, TellsARuleAboutAMemberWhateverItsCase) {
  EXPECT_EQ(schema_of(not_together("a", {{"b", "X-y"}}, "b", "contradicts a")),
            Json::parse(R"({"description": "b: contradicts a", "not": {"allOf": [
                {"required": ["a"]},
                {"required": ["b"], "properties": {"b": {"not": {
                    "propertyNames": {"not": {"pattern": "^(?:[Xx]-[Yy])$"}}}}}}]}})"));
}

TEST(JsonSchema, OfSeveralFormsTakesExactlyOne) {
  const FormDescription form = letters().description();
  const Json schema =
      Json::parse(json_schema("all", {{"one", form}, {"two", form}}).to_indented_text());
  EXPECT_EQ(schema["title"], "all");
  ASSERT_EQ(schema["oneOf"].size(), 2u);
  EXPECT_EQ(schema["oneOf"][1]["title"], "two");
  EXPECT_EQ(schema["oneOf"][1]["required"], Json::parse(R"(["c"])"));
}

}  // namespace
}  // namespace red
