# SPDX-License-Identifier: MIT
# cmake -D TOOL=kvmchan -D SOURCE=directory -D WORK=directory -D CC=cc -D CXX=c++ -P check_readme.cmake
# The commands, options and paths in README.md exist, and its programs compile.
cmake_minimum_required(VERSION 3.22)
file(READ ${SOURCE}/README.md text)
file(STRINGS ${SOURCE}/README.md lines ENCODING UTF-8)

# Commands are in indented lines and between backquotes.
function(check_command line)
	string(REGEX MATCHALL "kvmchan [a-z]+[^|<>`;]*" uses "${line}")
	foreach(use IN LISTS uses)
		string(REGEX REPLACE "^kvmchan ([a-z]+).*" "\\1" command "${use}")
		execute_process(COMMAND ${TOOL} ${command} --help
			OUTPUT_VARIABLE help ERROR_QUIET RESULT_VARIABLE status)
		# For a word that it does not know it prints the help of all.
		if(NOT status EQUAL 0 OR NOT help MATCHES "Usage: kvmchan ${command} ")
			message(SEND_ERROR "README.md: \"${use}\": no such command")
			continue()
		endif()
		string(REGEX MATCHALL " --?[a-zA-Z][a-z-]*" options "${use}")
		foreach(option IN LISTS options)
			string(STRIP "${option}" option)
			if(NOT "${help}" MATCHES "[ ,]${option}[ ,\n]")
				message(SEND_ERROR "README.md: \"${use}\": ${option} is no option of it")
			endif()
		endforeach()
	endforeach()
endfunction()

foreach(line IN LISTS lines)
	if(line MATCHES "^    ")
		check_command("${line}")
	else()
		string(REGEX MATCHALL "`kvmchan [^`]*`" quoted "${line}")
		foreach(part IN LISTS quoted)
			check_command("${part}")
		endforeach()
	endif()
endforeach()

string(REGEX MATCHALL "(scripts|kmod|userlib|qemu-test)/[A-Za-z0-9._/-]+" paths "${text}")
list(REMOVE_DUPLICATES paths)
foreach(path IN LISTS paths)
	string(REGEX REPLACE "[.]$" "" path "${path}")
	# What a build makes, not what the repository has.
	if(path MATCHES "\\.ko$")
		continue()
	endif()
	if(NOT EXISTS ${SOURCE}/${path})
		message(SEND_ERROR "README.md: there is no ${path}")
	endif()
endforeach()

function(compile language name)
	string(REGEX MATCH "\n```${language}\n(.*)" found "${text}")
	string(REGEX REPLACE "\n```\n.*" "\n" program "${CMAKE_MATCH_1}")
	file(WRITE ${WORK}/${name} "${program}")
	execute_process(COMMAND ${ARGN} -Wall -Wextra -Werror -fsyntax-only
		-I${SOURCE}/userlib/include -I${SOURCE}/kmod ${WORK}/${name}
		ERROR_VARIABLE errors RESULT_VARIABLE status)
	if(NOT found OR NOT status EQUAL 0)
		message(SEND_ERROR "README.md: the example in ${language}: ${errors}")
	endif()
endfunction()

compile(c readme.c ${CC} -std=gnu11)
compile(cpp readme.cpp ${CXX} -std=c++20)
