// SPDX-License-Identifier: MIT
// What the programs of this directory share: usage: PROGRAM tso|pso|views
#ifndef KVMCHAN_EXPLORE_RUN_HPP
#define KVMCHAN_EXPLORE_RUN_HPP

#include <chrono>
#include <span>
#include <string_view>

#include "buffers.hpp"
#include "explorer.hpp"
#include "views.hpp"

namespace explore {

template <class Memory>
bool run_one(const scenario &s, std::uint64_t &states)
{
	const auto began = std::chrono::steady_clock::now();
	explorer<Memory> e{s};
	const char *fault = e.run();
	const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;

	states += e.states();
	std::printf("%s: %" PRIu64 " states, %" PRIu64 " steps, %" PRIu64 " ends, %.2f s\n", s.name, e.states(), e.steps(),
	            e.ends(), took.count());
	if (!fault)
		return true;
	std::printf("%s: VIOLATION: %s\n", s.name, fault);
	e.tell();
	return false;
}

template <class Memory>
int run_all(std::span<const scenario> all)
{
	std::uint64_t states = 0;
	bool holds = true;

	for (const scenario &s : all) {
		holds = run_one<Memory>(s, states);
		if (!holds)
			break;
	}
	std::printf("all: %" PRIu64 " states\n", states);
	if (!holds)
		return 1;
	if (Memory::was_short())
		bad_scenario("a buffer of stores was full");
	return 0;
}

/* 0: nothing is wrong; 1: something is; 2: this is no scenario. */
inline int run_main(int argc, char **argv, std::span<const scenario> all)
{
	const std::string_view model = argc == 2 ? argv[1] : "";

	if (model == "tso")
		return run_all<tso>(all);
	if (model == "pso")
		return run_all<pso>(all);
	if (model == "views")
		return run_all<views>(all);
	bad_scenario("usage: tso|pso|views");
}

} // namespace explore

#endif
