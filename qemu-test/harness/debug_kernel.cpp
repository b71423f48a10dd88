// SPDX-License-Identifier: MIT
#include "debug_kernel.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace harness {

namespace fs = std::filesystem;

namespace {

/* Of kmemleak's records those that have none of the functions in their backtrace. */
std::string leaks_but_of(const std::vector<std::string> &functions, const std::string &records)
{
	constexpr std::string_view start = "unreferenced object";
	std::string rest;
	for (std::size_t at = records.find(start); at < records.size();) {
		const auto end = std::min(records.find(start, at + 1), records.size());
		const std::string one = records.substr(at, end - at);
		if (std::ranges::none_of(functions, [&](const std::string &each) { return one.find("] " + each + "+") != std::string::npos; }))
			rest += one;
		at = end;
	}
	return rest;
}

} // namespace

void check_leaks(guest &machine)
{
	// Only what is older than five seconds counts, and was not found twice in
	// a row: see Documentation/dev-tools/kmemleak.rst.
	const auto found = machine.run("f=/sys/kernel/debug/kmemleak\n"
	                               "[ -e $f ] || exit 0\n"
	                               "echo scan >$f; sleep 6; echo scan >$f; cat $f");
	const auto leaks = leaks_but_of(machine.options().leaky, found.out);
	if (!leaks.empty())
		throw error{"the kernel leaks memory:\n" + leaks};
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
