// SPDX-License-Identifier: MIT
// The shared words and the cells of the rings, as numbered places.
#ifndef KVMCHAN_EXPLORE_LAYOUT_HPP
#define KVMCHAN_EXPLORE_LAYOUT_HPP

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define KVMCHAN_PLATFORM "verify/explore/platform.h"
#include "session.h"

namespace explore {

constexpr unsigned places_max = 24;
constexpr unsigned actors_max = 3;
constexpr unsigned cells_max = 4;

[[noreturn]] inline void bad_scenario(const char *text)
{
	std::fprintf(stderr, "bad scenario: %s\n", text);
	std::exit(2);
}

struct place {
	const char *name;
	std::uint64_t value; // at first
	unsigned readers;    // actors, a bit each
	unsigned writers;
	unsigned mark;       // of a cell: the place that tells who has read it
};

struct layout {
	std::array<place, places_max> places{};
	unsigned count = 0;

	unsigned add(const char *name, std::uint64_t value, unsigned readers, unsigned writers)
	{
		if (count == places_max)
			bad_scenario("too many places");
		places[count] = {name, value, readers, writers, 0};
		return count++;
	}

	/* A read leaves a mark: who writes next has to know of it. */
	unsigned add_cell(unsigned readers, unsigned writers)
	{
		const unsigned mark = add("mark", 0, writers, readers);
		const unsigned cell = add("cell", 0, readers, writers);

		places[cell].mark = mark;
		return cell;
	}
};

/* What the headers' pointers point to. */
struct shared_words {
	kvmchan_control control{};
	std::array<__le64, 2> reaped{};
	std::array<std::array<std::uint8_t, cells_max>, 2> cells{}; // of the ring that a side writes
};

/* Of the scenario that runs: its turns know nothing else. */
inline shared_words words;

/* Direction @from: the ring that this side writes, and its four indices. */
inline void add_ring(layout &l, shared_words &w, unsigned from, unsigned cells, std::uint64_t start, unsigned writers,
                     unsigned readers)
{
	kvmchan_index_page &producer = w.control.side[from].index;
	kvmchan_index_page &consumer = w.control.side[1 - from].index;

	/* Drivers look at the indices of their own side's processes, too. */
	producer.tx_prod = l.add("tx_prod", start, readers | writers, writers);
	producer.tx_event = l.add("tx_event", start - 1, readers, writers);
	consumer.rx_cons = l.add("rx_cons", start, readers | writers, readers);
	consumer.rx_event = l.add("rx_event", start - 1, writers, readers);
	for (unsigned i = 0; i < cells; ++i)
		w.cells[from][i] = static_cast<std::uint8_t>(l.add_cell(readers, writers));
}

inline kvmchan_tx make_tx(unsigned side, std::uint64_t size, std::uint64_t start)
{
	kvmchan_tx tx{};

	tx.size = size;
	tx.prod = tx.cons = start;
	tx.own = &words.control.side[side].index;
	tx.peer = &words.control.side[1 - side].index;
	tx.live = true;
	return tx;
}

inline kvmchan_rx make_rx(unsigned side, std::uint64_t size, std::uint64_t start)
{
	kvmchan_rx rx{};

	rx.size = size;
	rx.prod = rx.cons = start;
	rx.own = &words.control.side[side].index;
	rx.peer = &words.control.side[1 - side].index;
	rx.live = true;
	return rx;
}

inline void write_cell(unsigned ring, std::uint64_t offset, std::uint64_t value)
{
	perform({act::write, words.cells[ring][offset], value, nullptr});
}

inline std::uint64_t read_cell(unsigned ring, std::uint64_t offset)
{
	return perform({act::read, words.cells[ring][offset], 0, nullptr});
}

} // namespace explore

#endif
