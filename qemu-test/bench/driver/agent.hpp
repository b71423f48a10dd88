// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"
#include "party.hpp"

#include <string>

namespace bench {

/** The bench-agent of a guest, by which the host has jobs done there. */
class agent final : public party {
public:
	/** Returns when it takes jobs. */
	agent(harness::guest &machine, const std::string &control_slot);
	/** Kills it. */
	~agent() override;
	agent(const agent &) = delete;
	agent &operator=(const agent &) = delete;

	using party::finish;
	void start(const job &what) override;
	std::string finish(harness::milliseconds limit) override;

private:
	harness::guest_command process_;
	unsigned number_ = 0;
};

} // namespace bench
