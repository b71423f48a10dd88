// SPDX-License-Identifier: MIT
#include "debug_kernel.hpp"

#include <cstdlib>
#include <filesystem>

namespace harness {

namespace fs = std::filesystem;

void check_leaks(guest &machine)
{
	// Only what is older than five seconds counts, and was not found twice in
	// a row: see Documentation/dev-tools/kmemleak.rst.
	const auto found = machine.run("f=/sys/kernel/debug/kmemleak\n"
	                               "[ -e $f ] || exit 0\n"
	                               "echo scan >$f; sleep 6; echo scan >$f; cat $f");
	if (!found.out.empty())
		throw error{"the kernel leaks memory:\n" + found.out};
}

void keep_coverage(guest &machine)
{
	const char *directory = std::getenv("KVMCHAN_COVERAGE");
	if (!directory || !*directory || !machine.options().shares)
		return;
	machine.run("mkdir /share/coverage && cd /share/coverage &&\n"
	            "for f in $(find /sys/kernel/debug/gcov -name '*.gcda'); do cat $f >${f##*/}; done");
	const auto from = machine.share() / "coverage";
	if (!fs::exists(from) || fs::is_empty(from))
		return;
	fs::create_directories(directory);
	std::string place = fs::path{directory} / "guest-XXXXXX";
	if (mkdtemp(place.data()))
		fs::copy(from, place);
}

} // namespace harness
