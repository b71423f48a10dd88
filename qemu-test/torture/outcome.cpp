// SPDX-License-Identifier: MIT
#include "outcome.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace torture {

namespace {

/*
 * An end makes descriptors when it first sleeps, and the server keeps bells of
 * IDs that it gives away again: so many may come once.
 */
constexpr std::size_t spare_descriptors = 32;
constexpr std::size_t spare_memory = 4096;

double part(const std::vector<double> &sorted, double which)
{
	if (sorted.empty())
		return 0;
	return sorted[static_cast<std::size_t>(which * static_cast<double>(sorted.size() - 1))];
}

} // namespace

std::string leaks(const outcome &of)
{
	std::string text;
	const auto compare = [&](const char *what, std::size_t before, std::size_t now, std::size_t spare) {
		if (now > before + spare)
			text += fmt::format("{}{} {} to {}", text.empty() ? "" : ", ", what, before, now);
	};
	const auto &a = of.first, &b = of.last;
	compare("server's descriptors", a.server_descriptors, b.server_descriptors, spare_descriptors);
	compare("server's KiB", a.server_memory, b.server_memory, spare_memory);
	compare("host end's descriptors", a.host_descriptors, b.host_descriptors, spare_descriptors);
	compare("guest end's descriptors", a.guest_descriptors, b.guest_descriptors, spare_descriptors);
	compare("nodes", a.nodes, b.nodes, 0);
	return text;
}

std::string table(const std::vector<outcome> &all)
{
	std::string text = fmt::format("{:<16} {:>6} {:>8} {:>8} {:>7} {:>8} {:>8}  {:<30} {:<7} {}\n", "kind", "cycles",
	                               "sessions", "MB", "waits", "median", "longest", "leaks", "result", "seed");
	for (const auto &each : all) {
		auto waits = each.waits;
		std::ranges::sort(waits);
		const auto lost = leaks(each);
		text += fmt::format("{:<16} {:>6} {:>8} {:>8.1f} {:>7} {:>8.1f} {:>8.1f}  {:<30} {:<7} {}\n", each.kind, each.cycles,
		                    each.sessions, 1e-6 * static_cast<double>(each.bytes), waits.size(), part(waits, 0.5),
		                    part(waits, 1), lost.empty() ? "none" : lost, each.failed ? "FAILED" : "passed",
		                    each.seed);
	}
	return text + "waits are a survivor's from before the death to the end of its session, ms\n";
}

} // namespace torture
