// SPDX-License-Identifier: MIT
#pragma once

#include "uapi/kvmchan_format.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace harness {

/**
 * What a hostile peer writes: words of a region's control pages, of its rings,
 * of its superblock and its table, with values that are noise, or near to what
 * was there, or taken from elsewhere. One thread.
 */
class scribbles {
public:
	/** @p slots: the whole table, as it was before anybody wrote over it. */
	scribbles(std::span<std::byte> bytes, std::vector<kvmchan_slot> slots, std::uint64_t seed)
	    : bytes_{bytes}, slots_{std::move(slots)}, random_{seed}
	{
	}

	/** One store into what a channel's or a memory block's sides share. */
	void into_a_slot() { store(a_place()); }
	/** One store into superblock or table. */
	void into_the_table() { store(a_place_of_the_table()); }

	std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
	std::uint64_t stores() const { return stores_; }

private:
	using word = std::atomic_ref<std::uint64_t>;

	word at(std::uint64_t offset)
	{
		return word{*reinterpret_cast<std::uint64_t *>(bytes_.data() + (offset & ~std::uint64_t{7}))};
	}

	const kvmchan_slot &a_slot()
	{
		for (;;) {
			const auto &slot = slots_[below(slots_.size())];
			if (slot.kind != KVMCHAN_KIND_FREE)
				return slot;
		}
	}
	std::uint64_t a_place()
	{
		const auto &slot = a_slot();
		switch (below(16)) {
		case 0:
		case 1: return slot.data[0] + below(slot.data_size[0]);
		case 2:
		case 3: return slot.data_size[1] ? slot.data[1] + below(slot.data_size[1]) : slot.control;
		case 4: return slot.control + below(sizeof(kvmchan_control));
		// The words of the sessions and the indices are the first ones of their pages.
		default: return slot.control + below(4) * KVMCHAN_PAGE_SIZE + below(4) * 64 + below(4) * 8;
		}
	}
	std::uint64_t a_place_of_the_table()
	{
		const auto number = below(slots_.size());
		return below(2) ? below(80) : KVMCHAN_PAGE_SIZE + number * sizeof(kvmchan_slot) + below(sizeof(kvmchan_slot));
	}

	std::uint64_t a_value(std::uint64_t was)
	{
		switch (below(6)) {
		case 0: return random_();
		case 1: return was ^ std::uint64_t{1} << below(64);
		case 2: return was + below(64);
		case 3: return was - below(64);
		case 4: return was + (below(3) << 12);
		default: return at(a_place());
		}
	}
	void store(std::uint64_t where)
	{
		at(where) = a_value(at(where));
		++stores_;
	}

	std::span<std::byte> bytes_;
	std::vector<kvmchan_slot> slots_;
	std::mt19937_64 random_;
	std::atomic<std::uint64_t> stores_ = 0;
};

} // namespace harness
