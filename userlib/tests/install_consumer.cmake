# SPDX-License-Identifier: MIT
# Installs the project somewhere and builds the examples against it, by
# find_package() and by pkg-config. Needs BUILD, SOURCE and WORK.
function(run)
	execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE out)
	if(code)
		message(FATAL_ERROR "${ARGN}: ${code}\n${out}")
	endif()
	set(out "${out}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE}/userlib/examples -B ${WORK}/examples -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/examples)

file(GLOB_RECURSE pc ${WORK}/prefix/kvmchan.pc)
get_filename_component(pc_dir ${pc} DIRECTORY)
set(ENV{PKG_CONFIG_PATH} ${pc_dir})
run(pkg-config --define-variable=prefix=${WORK}/prefix --cflags --libs kvmchan)
string(STRIP "${out}" flags)
separate_arguments(flags UNIX_COMMAND "${flags}")
run(cc -std=c11 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/userlib/examples/hello.c -o ${WORK}/hello ${flags})
run(c++ -std=c++20 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/userlib/examples/frames.cpp -o ${WORK}/frames ${flags})

# No C++ symbol crosses the shared objects.
file(GLOB_RECURSE libraries ${WORK}/prefix/libkvmchan*.so)
foreach(library IN LISTS libraries)
	run(nm -D --defined-only ${library})
	string(REGEX MATCHALL "[^\n]* [TWVBDu] [^\n]*" symbols "${out}")
	foreach(symbol IN LISTS symbols)
		if(NOT symbol MATCHES " T kvmchan_[a-z_]+@@KVMCHAN")
			message(FATAL_ERROR "${library} exports ${symbol}")
		endif()
	endforeach()
endforeach()
file(REMOVE_RECURSE ${WORK})
