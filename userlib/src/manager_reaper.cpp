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

/* One to ring may be rung for several slots at once. */
void add_bell(std::vector<bell_address> &bells, const std::optional<bell_address> &bell)
{
	if (bell)
		bells.push_back(*bell);
}

} // namespace

std::vector<bell_address> manager_reaper::peer_left(std::uint16_t id)
{
	std::vector<bell_address> bells;

	each_side(table_, [&](std::uint32_t slot, unsigned side, const kvmchan_slot &entry) {
		const std::uint64_t link = table_.link(slot, side);
		const bool fixed = entry.side[side] == id;
		const bool sat_there = anyones(entry.side[side]) && bell_names(table_.bell(slot, side), id);

		if (!fixed && !sat_there)
			return;
		if (fixed || (link & KVMCHAN_LINK_OPEN) != 0)
			reap(slot, side, link);
		add_bell(bells, table_.rings_at(slot, 1 - side));
	});
	return bells;
}

std::vector<bell_address> manager_reaper::scan_locks()
{
	std::vector<bell_address> bells;

	watching_ = false;
	seen_.resize(table_.slots().size());
	each_side(table_, [&](std::uint32_t slot, unsigned side, const kvmchan_slot &entry) {
		if (anyones(entry.side[side]) && scan_side(slot, side))
			add_bell(bells, table_.rings_at(slot, 1 - side));
	});
	return bells;
}

bool manager_reaper::reap(std::uint32_t slot, unsigned side, std::uint64_t link)
{
	const bool news = table_.reap(slot, side, kvmchan_link_epoch(link));

	deaths_ += news ? 1U : 0U;
	return news;
}

/* Whether the other side is to be rung. */
bool manager_reaper::scan_side(std::uint32_t slot, unsigned side)
{
	const std::uint64_t id = table_.slots()[slot].id;
	const std::uint64_t link = table_.link(slot, side);
	sighting &seen = seen_[slot][side];

	if (seen.slot_id != id)
		seen = {.slot_id = id};

	const bool ring = link & KVMCHAN_LINK_OPEN ? scan_open(slot, side, link, seen) : scan_closed(slot, side, link, seen);

	seen.link = link;
	return ring;
}

bool manager_reaper::scan_open(std::uint32_t slot, unsigned side, std::uint64_t link, sighting &seen)
{
	constexpr std::uint64_t same = KVMCHAN_LINK_OPEN | KVMCHAN_EPOCH_MASK;
	const kvmchan_slot &entry = table_.slots()[slot];
	const std::uint64_t epoch = kvmchan_link_epoch(link);

	if (kvmchan_epoch_reaped(entry.reaped[side], epoch))
		return false;
	if (is_held(slot, side, seen)) {
		if (seen.held)
			seen.epoch = epoch;
		return false;
	}

	const bool expected = entry.side[side] == KVMCHAN_PEER_HOST || seen.epoch == epoch;

	/*
	 * An owner closes its session and then unlocks, and locks before it opens
	 * the next: if the same session is still open after the lock was found
	 * free, nobody is left who could close it.
	 */
	return expected && (table_.link(slot, side) & same) == (link & same) && reap(slot, side, link);
}

/*
 * Who changed the word and died before it rang has left a word that is new to
 * us, or a lock that we saw. Whoever locks the side after it was found free
 * rings by itself.
 */
bool manager_reaper::scan_closed(std::uint32_t slot, unsigned side, std::uint64_t link, sighting &seen)
{
	return (seen.held || seen.link != link) && !is_held(slot, side, seen);
}

/* Notes what it finds; a question that failed changes nothing. */
bool manager_reaper::is_held(std::uint32_t slot, unsigned side, sighting &seen)
{
	std::error_code ec;
	const bool held = side_lock::is_held(region_fd_, slot, side, ec);

	if (!ec)
		seen.held = held;
	watching_ = watching_ || held;
	return held;
}

} // namespace kvmchan
