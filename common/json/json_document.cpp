#include "common/json/json_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

namespace red {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Builds a JsonValue from the parser's events. The parser itself does not recurse.
class Builder {
 public:
  using Json = nlohmann::json;

  explicit Builder(std::size_t max_depth) : max_depth_(max_depth) {}

  bool null() { return put(JsonValue(nullptr)); }
  bool boolean(bool value) { return put(JsonValue(value)); }
  bool number_integer(Json::number_integer_t value) { return put(JsonValue(std::int64_t{value})); }
  bool number_unsigned(Json::number_unsigned_t value) {
    return put(JsonValue(std::uint64_t{value}));
  }
  bool number_float(Json::number_float_t value, const std::string&) {
    return put(JsonValue(value));
  }
  bool string(std::string& value) { return put(JsonValue(std::move(value))); }
  bool binary(Json::binary_t&) { return false; }
  bool key(std::string& name) {
    key_ = std::move(name);
    return true;
  }
  bool start_object(std::size_t) { return start(JsonValue(JsonValue::Object{})); }
  bool start_array(std::size_t) { return start(JsonValue(JsonValue::Array{})); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& failure) {
    position_ = position;
    failure_ = failure.what();
    return false;
  }

  JsonValue take_root() { return std::move(root_); }
  bool is_too_deep() const { return open_.size() > max_depth_; }
  std::size_t position() const { return position_; }
  const std::string& failure() const { return failure_; }

 private:
  JsonValue& place(JsonValue value) {
    if (open_.empty()) return root_ = std::move(value);
    if (JsonValue::Array* array = open_.back()->array()) {
      return array->emplace_back(std::move(value));
    }
    JsonValue::Object& object = *open_.back()->object();
    object.push_back({std::move(key_), std::move(value)});
    return object.back().value;
  }
  bool put(JsonValue value) {
    place(std::move(value));
    return true;
  }
  bool start(JsonValue value) {
    // The parent does not grow while the child is open, so the pointer stays good.
    open_.push_back(&place(std::move(value)));
    return !is_too_deep();
  }
  bool end() {
    open_.pop_back();
    return true;
  }

  const std::size_t max_depth_;
  JsonValue root_;
  std::vector<JsonValue*> open_;
  std::string key_;
  std::size_t position_ = 0;
  std::string failure_;
};

/// The parser's reason without what it read last: that may be a part of a secret.
std::string reason_in(std::string_view failure) {
  if (failure.find("out_of_range") != std::string_view::npos) return "the number is too large";
  const auto dash = failure.find(" - ");
  if (dash == std::string_view::npos) return "not valid JSON";
  const std::string_view reason = failure.substr(dash + 3);
  return std::string(reason.substr(0, reason.find("; last read")));
}

std::string line_and_column(std::string_view text, std::size_t position) {
  const std::string_view before = text.substr(0, position == 0 ? 0 : position - 1);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto newline = before.rfind('\n');
  const auto column =
      newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// Removes all but the first of members with one name, and reports them.
void report_repeated_keys(JsonValue::Object& object, const JsonPlace& place, Problems& problems) {
  std::unordered_set<std::string_view> seen;
  std::vector<bool> is_repeated;
  for (const JsonValue::Member& member : object) {
    is_repeated.push_back(!seen.insert(member.name).second);
    if (is_repeated.back()) {
      problems.add(JsonPlace(place, member.name), "stands here more than once");
    }
  }
  if (seen.size() == object.size()) return;
  JsonValue::Object kept;
  for (std::size_t i = 0; i < object.size(); ++i) {
    if (!is_repeated[i]) kept.push_back(std::move(object[i]));
  }
  object = std::move(kept);
}

void report_all_repeated_keys(JsonValue& value, const JsonPlace& place, Problems& problems) {
  if (JsonValue::Array* array = value.array()) {
    for (std::size_t i = 0; i < array->size(); ++i) {
      report_all_repeated_keys((*array)[i], JsonPlace(place, i), problems);
    }
  } else if (JsonValue::Object* object = value.object()) {
    report_repeated_keys(*object, place, problems);
    for (JsonValue::Member& member : *object) {
      report_all_repeated_keys(member.value, JsonPlace(place, member.name), problems);
    }
  }
}

}  // namespace

JsonDocument parse_json(std::string_view text, std::string name, std::size_t max_depth) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  JsonDocument document{std::move(name), {}, {}};
  Builder builder(max_depth);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    if (builder.is_too_deep()) {
      document.problems.add("JSON", "nested deeper than " + std::to_string(max_depth) + " levels");
    } else {
      document.problems.add(line_and_column(text, builder.position()),
                            reason_in(builder.failure()));
    }
    document.problems.throw_if_any(document.name);
  }
  document.root = builder.take_root();
  report_all_repeated_keys(document.root, JsonPlace(), document.problems);
  return document;
}

}  // namespace red
