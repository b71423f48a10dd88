// SPDX-License-Identifier: MIT
/*
 * A hostile peer on the host: a thread that writes over the control pages and
 * the rings of a region, and now and then over its superblock and table, which
 * the manager mends soon, for as long as it lives.
 */
#pragma once

#include "module_machine.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>

namespace module_test {

class scribbler {
public:
	scribbler(region &over, std::uint64_t seed)
	    : table_{over.table()}, bytes_{over.bytes()}, random_{seed}, thread_{[this](const std::stop_token &stop) {
		      while (!stop.stop_requested())
			      one_in(5000) ? spoil_table() : scribble();
	      }}
	{
	}

	std::uint64_t stores() const { return stores_; }

private:
	using word = std::atomic_ref<std::uint64_t>;

	std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
	word at(std::uint64_t offset)
	{
		return word{*reinterpret_cast<std::uint64_t *>(bytes_.data() + (offset & ~std::uint64_t{7}))};
	}

	const kvmchan_slot &a_slot()
	{
		for (;;) {
			const auto &slot = table_.slots()[below(table_.slots().size())];
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
		const auto number = below(table_.slots().size());
		return one_in(2) ? below(80) : KVMCHAN_PAGE_SIZE + number * sizeof(kvmchan_slot) + below(sizeof(kvmchan_slot));
	}
	bool one_in(std::uint64_t n) { return below(n) == 0; }

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
	/* A few, and then time for the others: a core less would be another test. */
	void scribble()
	{
		for (int i = 0; i < 32; ++i)
			store(a_place());
		std::this_thread::sleep_for(std::chrono::microseconds{100});
	}
	/* Long enough for the driver to look at it, and then the manager's next change. */
	void spoil_table()
	{
		for (auto left = 1 + below(20); left; --left)
			store(a_place_of_the_table());
		std::this_thread::sleep_for(std::chrono::milliseconds{below(600)});
		table_.announce(false);
	}

	kvmchan::manager &table_;
	std::span<std::byte> bytes_;
	std::mt19937_64 random_;
	std::atomic<std::uint64_t> stores_ = 0;
	std::jthread thread_;
};

} // namespace module_test
