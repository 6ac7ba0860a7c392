# Makes the ordinary installation below ${CMAKE_INSTALL_PREFIX} self-contained: the program's place is
# taken by the launcher, and all that it needs comes along. Needs `launcher`, the built launcher,
# `readme`, and Debian's dpkg for the licences.
cmake_minimum_required(VERSION 3.25)

set(root "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
set(program "${root}/lib/program")
set(launcher_place "${root}/bin/red-connector")
set(certificates /usr/share/ca-certificates/mozilla)

function(run output)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

# The licence of every Debian package that one of the files belongs to. The packages' lists of files may
# be older than the link from /lib to /usr/lib.
function(keep_licences_of)
  foreach(file IN LISTS ARGN)
    file(REAL_PATH "${file}" real)
    string(REGEX REPLACE "^/usr" "" short "${real}")
    list(APPEND names "${real}" "${short}")
  endforeach()
  execute_process(COMMAND dpkg-query --search ${names}
    OUTPUT_VARIABLE owners RESULT_VARIABLE ignored ERROR_QUIET)  # one name of each pair is unknown
  foreach(file IN LISTS ARGN)
    file(REAL_PATH "${file}" real)
    string(REGEX REPLACE "^/usr" "" short "${real}")
    string(REPLACE "+" "\\+" short "${short}")
    if(NOT owners MATCHES "([^:\n]+)[^\n]*: (/usr)?${short}\n")
      message(FATAL_ERROR "No package owns ${file}: its licence is not known")
    endif()
    set(package "${CMAKE_MATCH_1}")
    file(COPY "/usr/share/doc/${package}/copyright" DESTINATION "${root}/share/licenses/${package}"
      FOLLOW_SYMLINK_CHAIN)
  endforeach()
endfunction()

# Only the package's own authorities: this machine may trust further ones.
function(write_certificates)
  file(GLOB files "${certificates}/*.crt")
  if(NOT files)
    message(FATAL_ERROR "No certificates in ${certificates}: the package ca-certificates is missing")
  endif()
  run(text ${CMAKE_COMMAND} -E cat ${files})
  file(WRITE "${root}/share/red-connector/ca-certificates.crt" "${text}")
  list(GET files 0 first)
  keep_licences_of("${first}")
endfunction()

function(copy_libraries)
  file(GET_RUNTIME_DEPENDENCIES EXECUTABLES "${program}"
    RESOLVED_DEPENDENCIES_VAR libraries UNRESOLVED_DEPENDENCIES_VAR missing)
  if(missing)
    message(FATAL_ERROR "Libraries are missing: ${missing}")
  endif()
  run(headers readelf --program-headers --wide "${program}")
  if(NOT headers MATCHES "program interpreter: ([^]]+)\\]")
    message(FATAL_ERROR "${program} names no loader")
  endif()
  set(loader "${CMAKE_MATCH_1}")
  get_filename_component(loader_name "${loader}" NAME)
  keep_licences_of(${libraries})
  foreach(library IN LISTS libraries)
    get_filename_component(name "${library}" NAME)
    if(NOT name STREQUAL loader_name)
      file(COPY_FILE "${library}" "${root}/lib/${name}")
    endif()
  endforeach()
  file(COPY_FILE "${loader}" "${root}/lib/red-connector")
endfunction()

file(MAKE_DIRECTORY "${root}/lib")
file(RENAME "${launcher_place}" "${program}")
file(COPY_FILE "${launcher}" "${launcher_place}")
copy_libraries()
write_certificates()
file(COPY_FILE "${readme}" "${root}/README.md")
