// SPDX-License-Identifier: MIT
// What a slot that passed validation may be relied on for, put another way.
#ifndef KVMCHAN_FUZZ_TABLE_ORACLE_HPP
#define KVMCHAN_FUZZ_TABLE_ORACLE_HPP

#include <cstdint>
#include <span>
#include <vector>

#include "require.hpp"
#include "shared_format.hpp"

namespace kvmchan::fuzz {

struct claimed {
	std::uint64_t start, end;
};

inline void claim(std::vector<claimed> &taken, std::uint64_t start, std::uint64_t size, std::uint64_t region)
{
	require(size && size <= region && start <= region - size, "what a slot claims is inside of the region");
	require(start >= KVMCHAN_PAGE_SIZE && start % KVMCHAN_PAGE_SIZE == 0 && size % KVMCHAN_PAGE_SIZE == 0,
	        "what a slot claims is whole pages");
	for (const claimed &other : taken)
		require(start >= other.end || start + size <= other.start, "no two claim the same bytes");
	taken.push_back({start, start + size});
}

inline void check_superblock(const kvmchan_superblock &sb, std::uint64_t memory)
{
	std::vector<claimed> none;

	require(sb.magic == KVMCHAN_MAGIC && sb.major == KVMCHAN_VERSION_MAJOR, "a superblock is one of ours");
	require(sb.size <= memory, "a region is inside of its memory");
	require(sb.slot_count >= 1 && sb.slot_count <= KVMCHAN_MAX_SLOTS, "a table has its limits");
	claim(none, sb.table_offset, kvmchan_table_bytes(sb.slot_count), sb.size);
}

/** @p why: null for each slot that is good or free. Quadratic on purpose. */
inline void check_slots(const kvmchan_superblock &sb, std::span<const kvmchan_slot> slots, const auto &why)
{
	std::vector<claimed> taken;

	claim(taken, sb.table_offset, kvmchan_table_bytes(sb.slot_count), sb.size);
	for (std::size_t i = 0; i < slots.size(); ++i) {
		const kvmchan_slot &slot = slots[i];

		if (slot.kind == KVMCHAN_KIND_FREE || why(i))
			continue;
		const bool channel = slot.kind == KVMCHAN_KIND_CHANNEL;

		require(channel || slot.kind == KVMCHAN_KIND_MEMORY, "a slot is of a kind that there is");
		require(slot.name[0] && !slot.name[KVMCHAN_NAME_SIZE - 1], "a name is a string");
		claim(taken, slot.control, sizeof(kvmchan_control), sb.size);
		claim(taken, slot.data[0], slot.data_size[0], sb.size);
		if (channel)
			claim(taken, slot.data[1], slot.data_size[1], sb.size);
		for (std::size_t side = 0; channel && side < 2; ++side)
			require((slot.data_size[side] & (slot.data_size[side] - 1)) == 0, "a ring's size is a power of two");
	}
}

} // namespace kvmchan::fuzz

#endif
