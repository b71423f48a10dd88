// SPDX-License-Identifier: MIT
// Records: published whole, a head and a payload, and taken one by one. The
// writer waits for the room of a record, the reader for any byte.
#include "ends.hpp"
#include "run.hpp"

using namespace explore;

namespace {

constexpr std::uint64_t cell_size = 8;
constexpr std::uint64_t first_index = -2 * cell_size; /* indices wrap on the way */

enum : unsigned { writer_actor = 1, reader_actor = 2 };

struct bounds {
	const char *name;
	std::uint64_t size;
	std::array<std::uint64_t, 4> lengths; /* of the payloads; 0: no more */
};

std::uint64_t payload_cell(std::uint64_t record, std::uint64_t at)
{
	return (record + 1) << 16 | (at + 1);
}

struct record_writer {
	kvmchan_tx tx;
	bounds b;
	std::uint64_t sent;

	void write(std::uint64_t at, std::uint64_t value)
	{
		kvmchan_window w;

		kvmchan_tx_window(&tx, at, cell_size, &w);
		write_cell(0, w.offset / cell_size, value);
	}

	void fill(std::uint64_t at, std::uint64_t record)
	{
		const std::uint64_t space = kvmchan_record_space(b.lengths[record]);

		write(at, b.lengths[record]);
		for (std::uint64_t i = cell_size; i < space; i += cell_size)
			write(at + i, payload_cell(record, i));
	}

	bool has_room(std::uint64_t space)
	{
		check(!kvmchan_tx_refresh(&tx), "an honest reader is refused");
		if (kvmchan_tx_free(&tx) >= space)
			return true;
		const int armed = kvmchan_tx_arm(&tx, space);

		check(armed >= 0, "an honest reader is refused");
		if (!armed)
			sleep();
		return armed;
	}

	bool has_record() const { return sent < b.lengths.size() && b.lengths[sent]; }

	void turn()
	{
		std::uint64_t filled = 0;

		if (!has_record())
			finish();
		if (!has_room(kvmchan_record_space(b.lengths[sent])))
			return;
		do {
			fill(filled, sent);
			filled += kvmchan_record_space(b.lengths[sent]);
			++sent;
		} while (has_record() && filled + kvmchan_record_space(b.lengths[sent]) <= kvmchan_tx_free(&tx) &&
		         choose(2));
		if (kvmchan_tx_commit(&tx, filled))
			ring(reader_actor);
	}
};

struct record_reader {
	kvmchan_rx rx;
	bounds b;
	std::uint64_t got;

	std::uint64_t read(std::uint64_t at)
	{
		kvmchan_window w;

		kvmchan_rx_window(&rx, at, cell_size, &w);
		return read_cell(0, w.offset / cell_size);
	}

	bool has_bytes()
	{
		check(!kvmchan_rx_refresh(&rx), "an honest writer is refused");
		if (kvmchan_rx_used(&rx))
			return true;
		const int armed = kvmchan_rx_arm(&rx, 1);

		check(armed >= 0, "an honest writer is refused");
		if (!armed)
			sleep();
		return armed;
	}

	void turn()
	{
		if (got == b.lengths.size() || !b.lengths[got])
			finish();
		if (!has_bytes())
			return;
		check(kvmchan_rx_used(&rx) >= cell_size, "half a head is published");
		const std::uint64_t word = read(0);
		kvmchan_record head;

		std::memcpy(&head, &word, sizeof(head));
		const __s64 length = kvmchan_rx_record(&rx, &head);

		check(length >= 0, "an honest writer's record is refused");
		check(static_cast<std::uint64_t>(length) == b.lengths[got], "a record is not the one that was written");
		const std::uint64_t space = kvmchan_record_space(static_cast<std::uint64_t>(length));

		for (std::uint64_t i = cell_size; i < space; i += cell_size)
			check(read(i) == payload_cell(got, i), "a payload is not the one that was written");
		++got;
		if (kvmchan_rx_commit(&rx, space))
			ring(writer_actor);
	}
};

scenario make(const bounds &b)
{
	scenario s;

	s.name = b.name;
	add_ring(s.places, s.words, 0, cells_max, first_index, writer_actor, reader_actor);
	s.add_actor(record_writer{make_tx(0, b.size, first_index), b, 0});
	s.add_actor(record_reader{make_rx(1, b.size, first_index), b, 0});
	return s;
}

} // namespace

int main()
{
	const scenario all[] = {
		make({"ring of one record, 4 records", 16, {8, 1, 5, 8}}),
		make({"ring of two records, 4 records", 32, {8, 8, 8, 8}}),
		make({"ring of two records, one as long as the ring", 32, {8, 24, 1, 16}}),
	};

	return run_all(all);
}
