# SPDX-License-Identifier: MIT
# What the whole project has for these programs, for a compiler of another
# architecture, whose headers must not mix with those in /usr/include.
include(${CMAKE_CURRENT_SOURCE_DIR}/../../userlib/flags.cmake)
find_package(Threads REQUIRED)

# Of Debian's googletest, which libgtest-dev brings along.
set(INSTALL_GTEST OFF)
add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)

set(json_headers ${CMAKE_BINARY_DIR}/json)
file(MAKE_DIRECTORY ${json_headers})
file(CREATE_LINK /usr/include/nlohmann ${json_headers}/nlohmann SYMBOLIC)
add_library(nlohmann_json INTERFACE)
add_library(nlohmann_json::nlohmann_json ALIAS nlohmann_json)
target_include_directories(nlohmann_json SYSTEM INTERFACE ${json_headers})
