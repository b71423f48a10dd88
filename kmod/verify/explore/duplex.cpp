// SPDX-License-Identifier: MIT
// Both directions at once, one actor a side as in a loop of poll(): it reads,
// writes, asks to be rung for both, and sleeps on one bell. What side 0 writes,
// side 1 reads and writes back.
#include "ends.hpp"
#include "run.hpp"

using namespace explore;

namespace {

constexpr std::uint64_t first_index = -1ULL; /* indices wrap on the way */

struct bounds {
	const char *name;
	std::uint64_t there, back; /* sizes of the rings */
	std::uint64_t bytes;
};

struct side {
	kvmchan_tx tx;
	kvmchan_rx rx;
	unsigned me;
	std::uint64_t bytes;
	std::uint64_t sent, got;

	/* Side 1 has to write only what it has read. */
	std::uint64_t to_send() const { return (me ? got : bytes) - sent; }

	void ring_peer() const { ring(1U << (1 - me)); }

	bool read_some()
	{
		check(!kvmchan_rx_refresh(&rx), "an honest writer is refused");
		const std::uint64_t n = kvmchan_rx_used(&rx);

		for (std::uint64_t i = 0; i < n; ++i) {
			kvmchan_window w;

			kvmchan_rx_window(&rx, i, 1, &w);
			check(read_cell(1 - me, w.offset) == got + i + 1, "a byte is not the one that was written");
		}
		got += n;
		if (n && kvmchan_rx_commit(&rx, n))
			ring_peer();
		return n;
	}

	bool write_some()
	{
		check(!kvmchan_tx_refresh(&tx), "an honest reader is refused");
		const std::uint64_t n = at_most(kvmchan_tx_free(&tx), to_send());

		for (std::uint64_t i = 0; i < n; ++i) {
			kvmchan_window w;

			kvmchan_tx_window(&tx, i, 1, &w);
			write_cell(me, w.offset, sent + i + 1);
		}
		sent += n;
		if (n && kvmchan_tx_commit(&tx, n))
			ring_peer();
		return n;
	}

	void turn()
	{
		int ready = 0;

		if (sent == bytes && got == bytes)
			finish();
		if (got < bytes && read_some())
			return;
		if (to_send() && write_some())
			return;
		if (got < bytes)
			ready |= kvmchan_rx_arm(&rx, 1);
		if (to_send())
			ready |= kvmchan_tx_arm(&tx, 1);
		check(ready >= 0, "an honest peer is refused");
		if (!ready)
			sleep();
	}
};

scenario make(const bounds &b)
{
	scenario s;

	s.name = b.name;
	add_ring(s.places, s.words, 0, static_cast<unsigned>(b.there), first_index, 1, 2);
	add_ring(s.places, s.words, 1, static_cast<unsigned>(b.back), first_index, 2, 1);
	s.add_actor(side{make_tx(0, b.there, first_index), make_rx(0, b.back, first_index), 0, b.bytes, 0, 0});
	s.add_actor(side{make_tx(1, b.back, first_index), make_rx(1, b.there, first_index), 1, b.bytes, 0, 0});
	return s;
}

} // namespace

int main()
{
	const scenario all[] = {
		make({"rings of 1 and 1, 3 bytes", 1, 1, 3}),
		make({"rings of 2 and 1, 3 bytes", 2, 1, 3}),
		make({"rings of 1 and 2, 3 bytes", 1, 2, 3}),
	};

	return run_all(all);
}
