// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace bench {

/** What is measured of a transport. */
enum class measure {
	stream, ///< throughput from one end to the other
	alone,  ///< throughput of the guest's calls or copies, with nobody at the other end
	many,   ///< throughput of several channels together
	turns,  ///< round trips
};

/** Who looks for a while before he sleeps, and whether somebody else burns a core. */
enum class spin { none, on, off, hogged, hogged_off };

/** A line of the plan. */
struct candidate {
	measure what;
	const char *path;
	const char *where; ///< a slot or node; null: the transport has one place
	std::vector<std::size_t> quick; ///< sizes of messages, in bytes
	std::vector<std::size_t> full;
	spin spinning = spin::none;
	std::vector<std::size_t> channels = {1};
	bool down = true; ///< from the host to the guest
	bool up = true;   ///< and the other way
};

std::vector<candidate> plan();
const char *name_of(spin spinning);

} // namespace bench
