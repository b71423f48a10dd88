// SPDX-License-Identifier: MIT
#include "manager_reaper.hpp"

#include "side_lock.hpp"

namespace kvmchan {
namespace {

constexpr std::uint64_t bell_valid = KVMCHAN_BELL_RINGABLE | KVMCHAN_BELL_RINGS;

bool anyones(std::uint32_t side) noexcept
{
	return side == KVMCHAN_PEER_HOST || side == KVMCHAN_PEER_ANY;
}

/* Without an ID of its own a side leaves its bell 0, which would be peer 0's. */
bool bell_names(std::uint64_t bell, std::uint16_t peer) noexcept
{
	return (bell & bell_valid) != 0 && static_cast<std::uint16_t>(bell >> KVMCHAN_BELL_PEER_SHIFT) == peer;
}

template <typename Visit>
void each_side(const manager &table, Visit visit)
{
	const auto slots = table.slots();

	for (std::uint32_t i = 0; i < slots.size(); ++i)
		if (slots[i].kind != KVMCHAN_KIND_FREE)
			for (const unsigned side : {0U, 1U})
				visit(i, side, slots[i]);
}

} // namespace

std::vector<bell_address> manager_reaper::peer_left(std::uint16_t id)
{
	std::vector<bell_address> bells;

	each_side(table_, [&](std::uint32_t slot, unsigned side, const kvmchan_slot &entry) {
		const std::uint64_t link = table_.link(slot, side);
		const bool fixed = entry.side[side] == id;
		const bool sits_there = anyones(entry.side[side]) && (link & KVMCHAN_LINK_OPEN) != 0 &&
		                        bell_names(table_.bell(slot, side), id);

		if (!fixed && !sits_there)
			return;
		if (const auto bell = table_.reap(slot, side, kvmchan_link_epoch(link)))
			bells.push_back(*bell);
	});
	return bells;
}

std::vector<bell_address> manager_reaper::scan_locks()
{
	std::vector<bell_address> bells;

	watching_ = false;
	seen_.resize(table_.slots().size());
	each_side(table_, [&](std::uint32_t slot, unsigned side, const kvmchan_slot &entry) {
		const std::uint64_t link = table_.link(slot, side);
		const std::uint64_t epoch = kvmchan_link_epoch(link);

		if (!anyones(entry.side[side]) || (link & KVMCHAN_LINK_OPEN) == 0 ||
		    kvmchan_epoch_reaped(entry.reaped[side], epoch))
			return;
		if (!owner_is_dead(slot, side, link))
			return;
		if (const auto bell = table_.reap(slot, side, epoch))
			bells.push_back(*bell);
	});
	return bells;
}

bool manager_reaper::owner_is_dead(std::uint32_t slot, unsigned side, std::uint64_t link)
{
	const kvmchan_slot &entry = table_.slots()[slot];
	const std::uint64_t epoch = kvmchan_link_epoch(link);
	sighting &seen = seen_[slot][side];
	std::error_code ec;

	if (side_lock::is_held(region_fd_, slot, side, ec)) {
		if (!ec)
			seen = {entry.id, epoch};
		watching_ = true;
		return false;
	}

	const bool expected = entry.side[side] == KVMCHAN_PEER_HOST || (seen.slot_id == entry.id && seen.epoch == epoch);

	/*
	 * An owner closes its session and then unlocks, and locks before it opens
	 * the next: if the same session is still open after the lock was found
	 * free, nobody is left who could close it.
	 */
	return expected && (table_.link(slot, side) & (KVMCHAN_LINK_OPEN | KVMCHAN_EPOCH_MASK)) ==
	                           (link & (KVMCHAN_LINK_OPEN | KVMCHAN_EPOCH_MASK));
}

} // namespace kvmchan
