// SPDX-License-Identifier: MIT
#include "agent.hpp"

#include "error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bench {

agent::agent(harness::guest &machine, const std::string &control_slot)
    : process_{machine.spawn(harness::guest::host_program(BENCH_AGENT, {control_slot}))}
{
	finish(party::patience);
}

agent::~agent()
{
	try {
		process_.kill9();
	} catch (const harness::error &) {
		return; // the guest is gone
	}
}

void agent::start(const job &what)
{
	process_.read();
	process_.write_stdin(fmt::format("{} {}\n", ++number_, what.line()));
}

std::string agent::finish(harness::milliseconds limit)
{
	process_.wait_output(fmt::format("\nend {}\n", number_), limit);
	auto text = process_.read();
	text.resize(text.rfind("\nend "));
	const auto space = std::min(text.find(' '), text.size());
	auto rest = text.substr(std::min(space + 1, text.size()));
	if (text.substr(0, space) != "ok")
		throw harness::error{"in the guest: " + rest};
	return rest;
}

} // namespace bench
