# SPDX-License-Identifier: MIT
# How C++ is compiled here: for all of the project, and for what runs in guests
# of another architecture, which is a project of its own (qemu-test/guest).
option(KVMCHAN_WERROR "Treat warnings as errors" ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
	set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

# Flags that every C++ target of the project is built with. Under a sanitizer
# warnings stay warnings: GCC gives false ones for the code that it adds.
add_library(kvmchan_flags INTERFACE)
target_compile_options(kvmchan_flags INTERFACE
	-Wall -Wextra -Wpedantic -Wshadow -Wconversion
	$<$<AND:$<BOOL:${KVMCHAN_WERROR}>,$<NOT:$<BOOL:${KVMCHAN_SANITIZE}>>>:-Werror>)

# For what only tests are made of: half of its compiling would be optimization,
# and what is tested is elsewhere.
add_library(kvmchan_test_flags INTERFACE)
target_compile_options(kvmchan_test_flags INTERFACE
	$<$<AND:$<CONFIG:RelWithDebInfo>,$<NOT:$<BOOL:${KVMCHAN_SANITIZE}>>>:-O1>)
target_link_libraries(kvmchan_test_flags INTERFACE kvmchan_flags)
