// SPDX-License-Identifier: MIT
#pragma once

#include "host_ends.hpp"
#include "lab.hpp"
#include "machine.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

/** What many channels that do nothing cost a guest. */
struct crowd_costs {
	std::int64_t node_bytes = 0; ///< of kernel memory for each channel that there is
	std::int64_t open_bytes = 0; ///< more, when it is open
	double open_us = 0;          ///< to open one
	double ready_us = 0;         ///< to find and read one that is ready, among so many
};

/** Microseconds to find and read one of so many channels, `prefix`0 and on, that are all ready. */
double ready_channel(machine &at, lab &with, host_ends &ends, const std::string &prefix, std::size_t channels);

crowd_costs measure_crowd(machine &at, lab &with, host_ends &ends, std::size_t channels);

} // namespace bench
