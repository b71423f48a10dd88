// SPDX-License-Identifier: MIT
// The two ends of a stream, as who owns them works with them: a writer and a
// reader that sleep until there is as much as they want.
#ifndef KVMCHAN_EXPLORE_ENDS_HPP
#define KVMCHAN_EXPLORE_ENDS_HPP

#include "layout.hpp"

namespace explore {

struct stream {
	const char *name;
	std::uint64_t size, bytes;
	std::uint64_t room, want; // what the writer and the reader wait for
};

inline std::uint64_t at_most(std::uint64_t a, std::uint64_t b)
{
	return a < b ? a : b;
}

/* The stream's byte @number is its number, from 1 on. */
inline void fill(const kvmchan_tx &tx, std::uint64_t number, std::uint64_t length)
{
	for (std::uint64_t i = 0; i < length; ++i) {
		kvmchan_window w;

		kvmchan_tx_window(&tx, i, 1, &w);
		write_cell(0, w.offset, number + i + 1);
	}
}

inline void take(const kvmchan_rx &rx, std::uint64_t number, std::uint64_t length)
{
	for (std::uint64_t i = 0; i < length; ++i) {
		kvmchan_window w;

		kvmchan_rx_window(&rx, i, 1, &w);
		check(read_cell(0, w.offset) == number + i + 1, "a byte is not the one that was written");
	}
}

struct stream_writer {
	kvmchan_tx tx;
	stream b;
	unsigned peers; // whom to ring
	std::uint64_t sent;

	bool has_room()
	{
		const std::uint64_t room = at_most(b.room, b.bytes - sent);

		if (kvmchan_tx_free(&tx) >= room)
			return true;
		check(!kvmchan_tx_refresh(&tx), "an honest reader is refused");
		if (kvmchan_tx_free(&tx) >= room)
			return true;
		const int armed = kvmchan_tx_arm(&tx, room);

		check(armed >= 0, "an honest reader is refused");
		if (!armed)
			sleep();
		return armed;
	}

	void turn()
	{
		if (sent == b.bytes)
			finish();
		if (!has_room())
			return;
		const std::uint64_t n = 1 + choose(at_most(kvmchan_tx_free(&tx), b.bytes - sent));

		fill(tx, sent, n);
		sent += n;
		if (kvmchan_tx_commit(&tx, n))
			ring(peers);
	}
};

struct stream_reader {
	kvmchan_rx rx;
	stream b;
	unsigned peers;
	std::uint64_t got;

	bool has_bytes()
	{
		const std::uint64_t want = at_most(b.want, b.bytes - got);

		if (kvmchan_rx_used(&rx) >= want)
			return true;
		check(!kvmchan_rx_refresh(&rx), "an honest writer is refused");
		if (kvmchan_rx_used(&rx) >= want)
			return true;
		const int armed = kvmchan_rx_arm(&rx, want);

		check(armed >= 0, "an honest writer is refused");
		if (!armed)
			sleep();
		return armed;
	}

	void turn()
	{
		if (got == b.bytes)
			finish();
		if (!has_bytes())
			return;
		const std::uint64_t n = 1 + choose(kvmchan_rx_used(&rx));

		take(rx, got, n);
		got += n;
		if (kvmchan_rx_commit(&rx, n))
			ring(peers);
	}
};

} // namespace explore

#endif
