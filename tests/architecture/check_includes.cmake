# Reads every include line of the project and refuses those that break the layering:
#   cmake -DROOT=<source directory> -P check_includes.cmake
# Who may include whom, by the folder of the including file; the longest matching folder decides.
# "common/*.h" stands for the loose headers of common/ itself. A folder may include itself.
set(rules
  "transfer                  : common/*.h common/remote common/cache"
  "fuse                      : common/*.h common/remote common/cache"
  "common/protocols/http     : common/*.h common/remote common/json common/net common/access"
  "common/protocols/sftp     : common/*.h common/remote common/json common/net common/access"
  "common/protocols/xnat     : common/*.h common/remote common/json common/net common/access"
  "common/access             : common/*.h common/remote common/json common/net"
  "common/remote             : common/*.h"
  "common/net                : common/*.h common/remote"
  "common/json               : common/*.h"
  "common/cache              : common/*.h common/remote"
  "common                    : common/*.h"
  "cli                       : common transfer fuse")

# Third-party headers, as regular expressions, and the only places that may name them.
set(homes
  "fuse[_a-z0-9/]*\\.h       : fuse/fuse_bridge.cpp"
  "curl/.*                   : common/net/"
  "libssh2.*                 : common/protocols/sftp/"
  "botan/.*                  : common/protocols/sftp/"
  "nlohmann/.*               : common/json/"
  "zlib\\.h                   : common/protocols/xnat/ transfer/gzip_stream.cpp"
  "archive(_entry)?\\.h       : transfer/archive_reader.cpp"
  "xxhash\\.h                 : common/cache/disk_content.cpp"
  "CLI/.*                    : cli/command_line.cpp"
  "spdlog/.*                 : common/logging.cpp"
  "libxml/.*                 : common/protocols/http/")

function(split_rule rule key values)
  string(FIND "${rule}" ":" colon)
  string(SUBSTRING "${rule}" 0 ${colon} left)
  math(EXPR after "${colon} + 1")
  string(SUBSTRING "${rule}" ${after} -1 right)
  string(STRIP "${left}" left)
  string(STRIP "${right}" right)
  string(REPLACE " " ";" right "${right}")
  set(${key} "${left}" PARENT_SCOPE)
  set(${values} "${right}" PARENT_SCOPE)
endfunction()

function(allowed_folders file result)
  set(best "")
  foreach(rule ${rules})
    split_rule("${rule}" folder allowed)
    string(FIND "${file}" "${folder}/" at)
    string(LENGTH "${folder}" length)
    string(LENGTH "${best}" best_length)
    if(at EQUAL 0 AND length GREATER best_length)
      set(best "${folder}")
      set(best_allowed "${allowed}")
      if(NOT folder STREQUAL "common")
        list(APPEND best_allowed "${folder}")
      endif()
    endif()
  endforeach()
  set(${result} "${best_allowed}" PARENT_SCOPE)
endfunction()

function(check_own_include file included)
  allowed_folders("${file}" allowed)
  get_filename_component(folder_of_included "${included}" DIRECTORY)
  foreach(folder ${allowed})
    if(folder STREQUAL "common/*.h")
      if(folder_of_included STREQUAL "common")
        return()
      endif()
    elseif("${folder_of_included}/" MATCHES "^${folder}/")
      return()
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY violations "${file} must not include \"${included}\"")
endfunction()

function(check_foreign_include file included)
  foreach(rule ${homes})
    split_rule("${rule}" header places)
    if(NOT included MATCHES "^${header}$")
      continue()
    endif()
    foreach(place ${places})
      if(file MATCHES "^${place}")
        return()
      endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY violations
      "${file} must not include <${included}>: its home is ${places}")
  endforeach()
endfunction()

file(GLOB_RECURSE files RELATIVE ${ROOT}
  ${ROOT}/cli/*.h ${ROOT}/cli/*.cpp ${ROOT}/transfer/*.h ${ROOT}/transfer/*.cpp
  ${ROOT}/fuse/*.h ${ROOT}/fuse/*.cpp ${ROOT}/common/*.h ${ROOT}/common/*.cpp)
list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no sources below '${ROOT}'")
endif()

foreach(file ${files})
  file(STRINGS ${ROOT}/${file} lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line ${lines})
    if(line MATCHES "include[ \t]*\"([^\"]+)\"")
      set(included "${CMAKE_MATCH_1}")
    elseif(line MATCHES "include[ \t]*<([^>]+)>")
      set(included "${CMAKE_MATCH_1}")
    else()
      set_property(GLOBAL APPEND PROPERTY violations "${file}: unreadable include: ${line}")
      continue()
    endif()
    if(included MATCHES "^(cli|transfer|fuse|common|tests)/")
      if(EXISTS ${ROOT}/${included})
        check_own_include("${file}" "${included}")
        continue()
      endif()
    endif()
    check_foreign_include("${file}" "${included}")
  endforeach()
endforeach()

get_property(violations GLOBAL PROPERTY violations)
if(violations)
  string(REPLACE ";" "\n  " text "${violations}")
  message(FATAL_ERROR "the include rules are broken:\n  ${text}")
endif()
message(STATUS "${count} files keep to the include rules")
