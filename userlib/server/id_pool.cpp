// SPDX-License-Identifier: MIT
#include "id_pool.hpp"

namespace kvmchan {

std::optional<std::uint16_t> id_pool::take(std::optional<std::uint64_t> oldest)
{
	std::erase_if(resting_, [&](const auto &entry) { return !oldest || entry.second < *oldest; });
	for (std::size_t tries = 0; tries < ids; ++tries) {
		const std::uint16_t id = next_++;

		if (used_.test(id) || resting_.contains(id))
			continue;
		used_.set(id);
		return id;
	}
	return std::nullopt;
}

void id_pool::give_back(std::uint16_t id, std::uint64_t tick)
{
	used_.reset(id);
	resting_[id] = tick;
}

} // namespace kvmchan
