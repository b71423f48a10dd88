# SPDX-License-Identifier: MIT
# cmake -D TOOL=kvmchan -D SOURCE=directory -D WORK=directory -P check_examples.cmake
# The server takes the configuration files that are shown: the one that is
# installed and the one in kvmchan.toml(5).
cmake_minimum_required(VERSION 3.22)
function(check name text)
	# A group that need not be on the machine that builds.
	string(REPLACE "group = \"kvmchan\"" "group = 0" text "${text}")
	file(WRITE ${WORK}/${name} "${text}")
	execute_process(COMMAND ${TOOL} serve --print-options --config ${WORK}/${name}
		OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE status)
	if(NOT status EQUAL 0 OR NOT out MATCHES "-device ivshmem-doorbell")
		message(SEND_ERROR "${name}: ${err}")
	endif()
endfunction()

file(READ ${SOURCE}/userlib/packaging/example.toml text)
check(example.toml "${text}")

file(READ ${SOURCE}/userlib/man/kvmchan.toml.5 page)
string(REGEX REPLACE ".*\n\\.Bd [^\n]*\n(\\[\\[region.*)" "\\1" text "${page}")
string(REGEX REPLACE "\n\\.Ed.*" "\n" text "${text}")
check(man-example.toml "${text}")
