#include "common/json/field_table.h"

#include <gtest/gtest.h>

#include <string>

#include "common/json/json_document.h"

namespace red {
namespace {

struct Part {
  std::optional<std::string> inner;
};

struct Form {
  std::optional<std::string> name;
  std::optional<std::string> color;
  std::optional<bool> flag;
  std::optional<int> count;
  std::optional<double> seconds;
  std::optional<Part> part;
  Part included;
};

const FieldTable<Part>& part_table() {
  static const auto table =
      FieldTable<Part>().add({.key = "inner", .meaning = "…"}, text(&Part::inner));
  return table;
}

const FieldTable<Form>& form_table() {
  static const auto table =
      FieldTable<Form>()
          .add({.key = "name", .meaning = "…", .required = true}, text(&Form::name))
          .add({.key = "color", .meaning = "…"}, choice(&Form::color, {"red", "green"}))
          .add({.key = "flag", .meaning = "…"}, boolean(&Form::flag))
          .add({.key = "count", .meaning = "…"}, integer(&Form::count, 1))
          .add({.key = "seconds", .meaning = "…"}, positive_number(&Form::seconds, 60))
          .add({.key = "part", .meaning = "…"}, object(&Form::part, part_table()))
          .include(part_table(), &Form::included);
  return table;
}

std::string problems_of(std::string_view json) {
  JsonDocument document = parse_json(json, "form");
  Form form;
  form_table().read(document.root, JsonPlace(), form, document.problems);
  try {
    document.problems.throw_if_any(document.name);
  } catch (const Error& error) {
    return error.message();
  }
  return "none";
}

TEST(FieldTable, FillsTheTarget) {
  JsonDocument document = parse_json(
      R"({"name":"n","color":"red","flag":true,"count":3,"seconds":0.5,"part":{"inner":"i"},
          "inner":"o"})",
      "form");
  Form form;
  form_table().read(document.root, JsonPlace(), form, document.problems);
  ASSERT_TRUE(document.problems.empty());
  EXPECT_EQ(form.name, "n");
  EXPECT_EQ(form.color, "red");
  EXPECT_EQ(form.flag, true);
  EXPECT_EQ(form.count, 3);
  EXPECT_EQ(form.seconds, 0.5);
  ASSERT_TRUE(form.part);
  EXPECT_EQ(form.part->inner, "i");
  EXPECT_EQ(form.included.inner, "o");
}

TEST(FieldTable, ReportsAllProblemsAtOnceWithTheirPlaces) {
  EXPECT_EQ(problems_of(R"({"color":"blue","flag":"yes","count":0,"seconds":0,"part":{"iner":1}})"),
            "form is invalid: 6 problems\n"
            "/color: must be red or green\n"
            "/flag: must be a boolean, not a string\n"
            "/count: must be an integer of at least 1\n"
            "/seconds: must be a number above 0 and at most 60\n"
            "/part/iner: unknown key; did you mean \"inner\"?\n"
            "/name: missing");
}

TEST(FieldTable, ReportsWhatIsNoObject) {
  EXPECT_EQ(problems_of("[]"),
            "form is invalid: 1 problem\n(top level): must be an object, not an array");
  EXPECT_EQ(problems_of(R"({"name":"n","part":null})"),
            "form is invalid: 1 problem\n/part: must be an object, not null");
}

TEST(FieldTable, RefusesAnEmptyTextAndAFraction) {
  EXPECT_EQ(problems_of(R"({"name":"","count":1.5})"),
            "form is invalid: 2 problems\n"
            "/name: must be a string that is not empty\n"
            "/count: must be an integer of at least 1, not a number");
}

TEST(FieldTable, NamesAllKeysWhenNoneIsNear) {
  EXPECT_EQ(
      problems_of(R"({"name":"n","zzzzzzzz":1})"),
      "form is invalid: 1 problem\n"
      "/zzzzzzzz: unknown key; the keys here are: name, color, flag, count, seconds, part, inner");
}

TEST(FieldTable, TakesTheLargestIntForALargerInteger) {
  JsonDocument document = parse_json(R"({"name":"n","count":1e15})", "form");
  Form form;
  form_table().read(document.root, JsonPlace(), form, document.problems);
  EXPECT_TRUE(document.problems.empty());
  EXPECT_EQ(form.count, std::numeric_limits<int>::max());
}

TEST(FieldTable, ReportsWhatKeysSayTogether) {
  const auto table = FieldTable<Form>()
                         .add({.key = "name", .meaning = "…"}, text(&Form::name))
                         .add({.key = "color", .meaning = "…"}, text(&Form::color))
                         .add({.key = "part", .meaning = "…"}, object(&Form::part, part_table()))
                         .add(MisplacedKey{"shade", "is for pictures"})
                         .add(one_of_needed({"name", "color"}, "name", "missing"))
                         .add(needs("part", {"name"}, "name", "missing, part needs it"))
                         .add(not_together("name", {"color"}, {}, "name or color, not both"))
                         .add(not_together("name", {{"part", "INNER"}}, "part", "says it twice"));
  const auto problems_with = [&table](std::string_view json) {
    JsonDocument document = parse_json(json, "form");
    Form form;
    table.read(document.root, JsonPlace(), form, document.problems);
    try {
      document.problems.throw_if_any(document.name);
    } catch (const Error& error) {
      return error.message().substr(error.message().find('\n') + 1);
    }
    return std::string("none");
  };
  EXPECT_EQ(problems_with("{}"), "/name: missing");
  EXPECT_EQ(problems_with(R"({"name": "n"})"), "none");
  EXPECT_EQ(problems_with(R"({"color": "c"})"), "none");
  EXPECT_EQ(problems_with(R"({"name": "n", "color": 1})"),
            "/color: must be a string that is not empty, not an integer\n"
            "(top level): name or color, not both");
  EXPECT_EQ(problems_with(R"({"color": "c", "part": {}})"), "/name: missing, part needs it");
  EXPECT_EQ(problems_with(R"({"name": "n", "part": {}})"), "none");
  EXPECT_EQ(problems_with(R"({"name": "n", "part": {"inner": "i"}})"), "/part: says it twice");
  EXPECT_EQ(problems_with(R"({"name": "n", "shade": 1})"), "/shade: is for pictures");
}

TEST(FieldTable, KeepsAProblemOnOneLine) {
  Problems problems;
  problems.add(JsonPlace(), "cannot open a\nb");
  try {
    problems.throw_if_any("form");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "form is invalid: 1 problem\n(top level): cannot open a\\u000ab");
  }
}

TEST(FieldTable, DescribesKeysWithWhatASchemaNeeds) {
  const auto& fields = form_table().description().fields;
  ASSERT_EQ(fields.size(), 7u);
  EXPECT_TRUE(fields[0].required);
  EXPECT_EQ(fields[1].shapes[0].values, (std::vector<std::string_view>{"red", "green"}));
  EXPECT_EQ(fields[3].shapes[0].minimum, 1);
  ASSERT_TRUE(fields[5].shapes[0].form);
  EXPECT_EQ(fields[5].shapes[0].form->fields.at(0).key, "inner");
}

}  // namespace
}  // namespace red
