#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/servers/hostile_server.h"

/// What the hostile server can be told to do. An honest file first, then the lies.
namespace red::testing {

/// A file as a server should offer it.
struct ScriptedFile {
  std::string body;
  std::string etag = "\"v1\"";  ///< empty: none
  std::string last_modified = "Mon, 01 Jan 2024 12:00:00 GMT";
  std::string content_type = "application/octet-stream";
  bool ranges = true;
};

// --- Honest
// ---------------------------------------------------------------------------------------
/// GET with one range, If-Range, If-Match, If-None-Match; HEAD.
Script file(ScriptedFile file);
/// The same, looked up anew for every request, so that the file can change meanwhile.
Script file_from(std::function<ScriptedFile()> source);
/// A body whose length is not told: by chunks, or by closing the connection.
Script chunked(std::string body);
Script close_delimited(std::string body);
/// An answer that does not depend on the request.
Script status(int code, Fields fields = {}, std::string body = "scripted answer\n");
/// Redirects to `location`.
Script redirect(std::string location, int code = 302);
/// An HTML page, as index pages are sent.
Script page(std::string html);

// --- Wrong
// ----------------------------------------------------------------------------------------
/// 206 whose Content-Range says that the bytes start `shift` bytes later than they do.
Script wrong_content_range(ScriptedFile file, std::uint64_t shift);
/// 206 for the first half of what was asked, said to be all of it.
Script half_of_range(ScriptedFile file);
/// Announces all, sends `count` bytes of the body and closes.
Script truncated(ScriptedFile file, std::size_t count);
/// Sends more than Content-Length says, then closes.
Script too_long(ScriptedFile file, std::string more);
/// Another ETag with every answer.
Script changing_etag(ScriptedFile file);
/// HEAD says `length`, GET tells the truth.
Script lying_head(ScriptedFile file, std::uint64_t length);
/// Header fields without end.
Script endless_head();
/// A chunked body without end.
Script endless_body();

// --- Slow or broken
// -------------------------------------------------------------------------------
/// Nothing at all before the server's release().
Script stall_before_head(Script then);
/// The head and `count` bytes of the answer's body, the rest after release().
Script stall_after(ScriptedFile file, std::size_t count);
/// The head and `count` bytes of the answer's body, then a TCP reset.
Script reset_after(ScriptedFile file, std::size_t count);
/// A TCP reset in place of an answer.
Script reset();

// --- Combinations
// ---------------------------------------------------------------------------------
/// `script` for the first `count` requests, `then` for the others.
Script first(int count, Script script, Script then);
/// `script` for requests of that method, `otherwise` for the rest.
Script for_method(std::string method, Script script, Script otherwise);

}  // namespace red::testing
