// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"
#include "jobs.hpp"

#include <string>

namespace bench {

/** The bench-agent of a guest, by which the host has jobs done there. */
class agent {
public:
	agent(harness::guest &machine, const std::string &control_slot);
	/** Kills it. */
	~agent();
	agent(const agent &) = delete;
	agent &operator=(const agent &) = delete;

	/** One job at a time. */
	void start(const job &what);
	/** Its text; throws with what went wrong, or when it does not end. */
	std::string finish(harness::milliseconds limit = harness::nominal::command);
	std::string run(const job &what)
	{
		start(what);
		return finish();
	}

private:
	harness::guest_command process_;
	unsigned number_ = 0;
};

} // namespace bench
