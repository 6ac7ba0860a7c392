#include "tests/servers/scripts.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string_view>

namespace red::testing {
namespace {

/// The bytes that an answer holds: first and past the last.
struct Span {
  std::size_t begin;
  std::size_t end;
};

// One range of bytes (RFC 9110 section 14.1.2); anything else counts as none.
std::optional<Span> requested_range(const Request& request, std::size_t size) {
  const auto field = request.find("Range");
  if (!field || !field->starts_with("bytes=") || field->find(',') != std::string::npos) return {};
  const std::string text = field->substr(6);
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos) return {};
  if (dash == 0) {
    return Span{size - std::min<std::size_t>(size, std::stoull(text.substr(1))), size};
  }
  const std::size_t begin = std::stoull(text.substr(0, dash));
  const std::string last = text.substr(dash + 1);
  return Span{begin, last.empty() ? size : std::min<std::size_t>(size, std::stoull(last) + 1)};
}

Fields fields_of(const ScriptedFile& file) {
  Fields fields{{"Content-Type", file.content_type}};
  if (!file.etag.empty()) fields.emplace_back("ETag", file.etag);
  if (!file.last_modified.empty()) fields.emplace_back("Last-Modified", file.last_modified);
  if (file.ranges) fields.emplace_back("Accept-Ranges", "bytes");
  return fields;
}

std::string content_range(Span span, std::size_t size, std::uint64_t shift = 0) {
  return "bytes " + std::to_string(span.begin + shift) + "-" +
         std::to_string(span.end - 1 + shift) + "/" + std::to_string(size);
}

bool names_version(const std::string& condition, const ScriptedFile& file) {
  return condition == "*" || condition == file.last_modified ||
         (!file.etag.empty() && condition.find(file.etag) != std::string::npos);
}

/// How an answer to GET begins: status, fields, and what of the body belongs to it.
struct Answer {
  int status;
  Fields fields;
  Span span;
};

Answer answer_to(const Request& request, const ScriptedFile& file) {
  const std::size_t size = file.body.size();
  Answer answer{200, fields_of(file), {0, size}};
  if (const auto wanted = request.find("If-Match"); wanted && !names_version(*wanted, file)) {
    return {412, {}, {0, 0}};
  }
  if (const auto known = request.find("If-None-Match"); known && names_version(*known, file)) {
    return {304, fields_of(file), {0, 0}};
  }
  const auto if_range = request.find("If-Range");
  const auto range = requested_range(request, size);
  if (!file.ranges || !range || (if_range && !names_version(*if_range, file))) return answer;
  if (range->begin >= range->end) {
    return {416, {{"Content-Range", "bytes */" + std::to_string(size)}}, {0, 0}};
  }
  answer.status = 206;
  answer.span = *range;
  answer.fields.emplace_back("Content-Range", content_range(*range, size));
  return answer;
}

std::string_view body_of(const Answer& answer, const ScriptedFile& file) {
  return std::string_view(file.body).substr(answer.span.begin, answer.span.end - answer.span.begin);
}

/// The honest head of the answer; false if no body follows it.
bool begin_answer(const Request& request, const ScriptedFile& file, Answer& answer, Reply& reply) {
  answer = answer_to(request, file);
  answer.fields.emplace_back("Content-Length", std::to_string(body_of(answer, file).size()));
  reply.head(answer.status, answer.fields);
  return request.method != "HEAD" && !body_of(answer, file).empty();
}

void send_file(const Request& request, const ScriptedFile& file, Reply& reply) {
  Answer answer;
  if (begin_answer(request, file, answer, reply)) reply.send(body_of(answer, file));
}

void set_field(Fields& fields, std::string_view name, const std::string& value) {
  for (auto& field : fields) {
    if (field.first == name) field.second = value;
  }
}

}  // namespace

Script file(ScriptedFile file) {
  return [file = std::move(file)](const Request& request, Reply& reply) {
    send_file(request, file, reply);
  };
}

Script file_from(std::function<ScriptedFile()> source) {
  return [source = std::move(source)](const Request& request, Reply& reply) {
    send_file(request, source(), reply);
  };
}

Script chunked(std::string body) {
  return [body = std::move(body)](const Request& request, Reply& reply) {
    reply.head(200, {{"Transfer-Encoding", "chunked"}});
    if (request.method == "HEAD") return;
    constexpr std::size_t kChunk = 10'000;
    for (std::size_t at = 0; at < body.size(); at += kChunk) reply.chunk(body.substr(at, kChunk));
    reply.chunk("");
  };
}

Script close_delimited(std::string body) {
  return [body = std::move(body)](const Request& request, Reply& reply) {
    reply.head(200, {{"Connection", "close"}});
    if (request.method != "HEAD") reply.send(body);
    reply.close();
  };
}

Script status(int code, Fields fields, std::string body) {
  return [=](const Request&, Reply& reply) { reply.answer(code, body, fields); };
}

Script redirect(std::string location, int code) {
  return status(code, {{"Location", std::move(location)}}, "moved\n");
}

Script page(std::string html) {
  return status(200, {{"Content-Type", "text/html; charset=utf-8"}}, std::move(html));
}

Script wrong_content_range(ScriptedFile file, std::uint64_t shift) {
  return [=](const Request& request, Reply& reply) {
    Answer answer = answer_to(request, file);
    set_field(answer.fields, "Content-Range", content_range(answer.span, file.body.size(), shift));
    reply.answer(answer.status, body_of(answer, file), answer.fields);
  };
}

Script half_of_range(ScriptedFile file) {
  return [=](const Request& request, Reply& reply) {
    const Answer answer = answer_to(request, file);
    const std::string_view body = body_of(answer, file);
    const bool ranged = answer.status == 206;
    reply.answer(answer.status, ranged ? body.substr(0, body.size() / 2) : body, answer.fields);
  };
}

Script truncated(ScriptedFile file, std::size_t count) {
  return [=](const Request& request, Reply& reply) {
    Answer answer;
    if (!begin_answer(request, file, answer, reply)) return;
    reply.send(body_of(answer, file).substr(0, count));
    reply.close();
  };
}

Script too_long(ScriptedFile file, std::string more) {
  return [=](const Request& request, Reply& reply) {
    Answer answer;
    if (!begin_answer(request, file, answer, reply)) return;
    reply.send(body_of(answer, file));
    reply.send(more);
    reply.close();
  };
}

Script changing_etag(ScriptedFile file) {
  auto version = std::make_shared<std::atomic<int>>(0);
  return [file = std::move(file), version](const Request& request, Reply& reply) {
    ScriptedFile changed = file;
    changed.etag = "\"version-" + std::to_string(++*version) + "\"";
    send_file(request, changed, reply);
  };
}

Script lying_head(ScriptedFile honest, std::uint64_t length) {
  Fields fields = fields_of(honest);
  fields.emplace_back("Content-Length", std::to_string(length));
  Script head = [fields](const Request&, Reply& reply) { reply.head(200, fields); };
  return for_method("HEAD", std::move(head), file(std::move(honest)));
}

Script endless_head() {
  return [](const Request&, Reply& reply) {
    reply.send("HTTP/1.1 200 OK\r\n");
    const std::string value(1000, 'x');
    for (std::uint64_t i = 0;; ++i) reply.send("X-" + std::to_string(i) + ": " + value + "\r\n");
  };
}

Script endless_body() {
  return [](const Request&, Reply& reply) {
    reply.head(200, {{"Transfer-Encoding", "chunked"}, {"Content-Type", "text/html"}});
    const std::string bytes(65536, 'x');
    for (;;) reply.chunk(bytes);
  };
}

Script stall_before_head(Script then) {
  return [then = std::move(then)](const Request& request, Reply& reply) {
    reply.stall();
    then(request, reply);
  };
}

Script stall_after(ScriptedFile file, std::size_t count) {
  return [=](const Request& request, Reply& reply) {
    Answer answer;
    if (!begin_answer(request, file, answer, reply)) return;
    const std::string_view body = body_of(answer, file);
    reply.send(body.substr(0, count));
    if (body.size() <= count) return;
    reply.stall();
    reply.send(body.substr(count));
  };
}

Script reset_after(ScriptedFile file, std::size_t count) {
  return [=](const Request& request, Reply& reply) {
    Answer answer;
    if (begin_answer(request, file, answer, reply)) {
      reply.send(body_of(answer, file).substr(0, count));
    }
    reply.reset();
  };
}

Script reset() {
  return [](const Request&, Reply& reply) { reply.reset(); };
}

Script first(int count, Script script, Script then) {
  auto left = std::make_shared<std::atomic<int>>(count);
  return [=](const Request& request, Reply& reply) {
    ((*left)-- > 0 ? script : then)(request, reply);
  };
}

Script for_method(std::string method, Script script, Script otherwise) {
  return [=](const Request& request, Reply& reply) {
    (request.method == method ? script : otherwise)(request, reply);
  };
}

}  // namespace red::testing
