# SPDX-License-Identifier: MIT
# Man pages, completion, service and udev rule: what is installed beside the
# programs, and the tests that keep it true.
file(GLOB man_pages CONFIGURE_DEPENDS man/*.[1-8])
foreach(page IN LISTS man_pages)
	string(REGEX REPLACE ".*\\." "" section ${page})
	install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

install(FILES completion/kvmchan DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

configure_file(packaging/kvmchan@.service.in kvmchan@.service @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/kvmchan@.service DESTINATION lib/systemd/system)
install(FILES packaging/kvmchan.sysusers DESTINATION lib/sysusers.d RENAME kvmchan.conf)
install(FILES packaging/kvmchan.tmpfiles DESTINATION lib/tmpfiles.d RENAME kvmchan.conf)
install(FILES ${CMAKE_SOURCE_DIR}/kmod/60-kvmchan.rules DESTINATION lib/udev/rules.d)
install(FILES packaging/example.toml ${CMAKE_SOURCE_DIR}/kmod/FORMAT.md ${CMAKE_SOURCE_DIR}/kmod/ABI
	DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(NOT BUILD_TESTING)
	return()
endif()

# Every option of the tool is in its man page, and the page has no other one.
add_test(NAME docs-options COMMAND ${CMAKE_COMMAND}
	-D TOOL=$<TARGET_FILE:kvmchan_tool> -D MAN=${CMAKE_CURRENT_SOURCE_DIR}/man
	-P ${CMAKE_CURRENT_SOURCE_DIR}/man/check_options.cmake)
# Every function of the C header is in libkvmchan(3), every ioctl in kvmchan(4).
add_test(NAME docs-interfaces COMMAND ${CMAKE_COMMAND}
	-D SOURCE=${CMAKE_SOURCE_DIR} -P ${CMAKE_CURRENT_SOURCE_DIR}/man/check_interfaces.cmake)
# What README.md shows is what the tool knows.
add_test(NAME docs-readme COMMAND ${CMAKE_COMMAND}
	-D TOOL=$<TARGET_FILE:kvmchan_tool> -D SOURCE=${CMAKE_SOURCE_DIR} -D WORK=${CMAKE_CURRENT_BINARY_DIR}
	-D CC=${CMAKE_C_COMPILER} -D CXX=${CMAKE_CXX_COMPILER}
	-P ${CMAKE_CURRENT_SOURCE_DIR}/man/check_readme.cmake)
add_test(NAME docs-completion COMMAND
	${CMAKE_CURRENT_SOURCE_DIR}/completion/test $<TARGET_FILE:kvmchan_tool>)
# The example is a file that the server takes; the group may not be here.
add_test(NAME docs-example COMMAND ${CMAKE_COMMAND}
	-D TOOL=$<TARGET_FILE:kvmchan_tool> -D SOURCE=${CMAKE_SOURCE_DIR} -D WORK=${CMAKE_CURRENT_BINARY_DIR}
	-P ${CMAKE_CURRENT_SOURCE_DIR}/man/check_examples.cmake)
set_tests_properties(docs-options docs-interfaces docs-readme docs-completion docs-example
	PROPERTIES LABELS unit TIMEOUT 120)
