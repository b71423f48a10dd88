// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace torture {

/** What must not grow from cycle to cycle. */
struct footprint {
	std::size_t server_descriptors = 0;
	std::size_t host_descriptors = 0;  ///< of the host's end
	std::size_t guest_descriptors = 0; ///< of the guest's end
	std::size_t nodes = 0;             ///< in the guest's /dev
	std::size_t server_memory = 0;     ///< KiB, resident
};

/** What came of one kind of death. */
struct outcome {
	std::string kind{};
	std::uint64_t seed = 0;
	unsigned cycles = 0;
	std::uint64_t sessions = 0;
	std::uint64_t bytes = 0;
	std::vector<double> waits{}; ///< of survivors for the end of their session, ms
	footprint first{};
	footprint last{};
	bool failed = false;
};

/** What grew more than the descriptors that ends make when they need them; empty: nothing. */
std::string leaks(const outcome &of);

/** A table with a line for each. */
std::string table(const std::vector<outcome> &all);

} // namespace torture
