// SPDX-License-Identifier: MIT
// What the programs of this directory share. MODEL: tso, pso or views.
#ifndef KVMCHAN_EXPLORE_RUN_HPP
#define KVMCHAN_EXPLORE_RUN_HPP

#include <chrono>
#include <span>

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
	e.tell();
	std::printf("%s: VIOLATION: %s\n", s.name, fault);
	return false;
}

/* 0: nothing is wrong; 1: something is; 2: this is no scenario. */
inline int run_all(std::span<const scenario> all)
{
	using Memory = MODEL;
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

} // namespace explore

#endif
