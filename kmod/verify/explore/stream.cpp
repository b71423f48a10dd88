// SPDX-License-Identifier: MIT
// A writer and a reader of bytes that sleep until there is as much as they want.
#include "ends.hpp"
#include "run.hpp"

using namespace explore;

namespace {

constexpr std::uint64_t first_index = -2ULL; /* indices wrap on the way */

enum : unsigned { writer_actor = 1, reader_actor = 2 };

scenario make(const stream &b)
{
	scenario s;

	s.name = b.name;
	add_ring(s.places, s.words, 0, static_cast<unsigned>(b.size), first_index, writer_actor, reader_actor);
	s.add_actor(stream_writer{make_tx(0, b.size, first_index), b, reader_actor, 0});
	s.add_actor(stream_reader{make_rx(1, b.size, first_index), b, writer_actor, 0});
	return s;
}

} // namespace

int main()
{
	const scenario all[] = {
		make({"ring of 1, 4 bytes", 1, 4, 1, 1}),
		make({"ring of 2, 4 bytes", 2, 4, 1, 1}),
		make({"ring of 2, 4 bytes, reader wants 2", 2, 4, 1, 2}),
		make({"ring of 2, 4 bytes, writer wants 2", 2, 4, 2, 1}),
		make({"ring of 4, 6 bytes, both want 2", 4, 6, 2, 2}),
		make({"ring of 4, 6 bytes, writer wants 3, reader 2", 4, 6, 3, 2}),
		make({"ring of 4, 6 bytes, writer wants 1, reader 4", 4, 6, 1, 4}),
	};

	return run_all(all);
}
