// SPDX-License-Identifier: MIT
// A process has its end mapped and two threads that use it. A mutex keeps their
// calls apart; who finds nothing to do sleeps in the driver, which looks and
// asks to be rung for it. Each has a share of the bytes to move, so none can do
// without being woken. The peer is a driver that does all by itself.
#include "ends.hpp"
#include "run.hpp"

using namespace explore;

namespace {

constexpr std::uint64_t first_index = -2ULL; /* indices wrap on the way */

enum : unsigned { peer_actor = 1, threads = 2 | 4 };
enum : unsigned { mutex, driver_lock };

/* What the process knows of its end, under the mutex; and the driver's. */
enum : unsigned { moved_bytes, peer_index, kicked_index };

/* KVMCHAN_IOC_KICK: nobody is rung for an index that was rung for before. */
void kick(const __le64 *own)
{
	lock(driver_lock);
	const std::uint64_t index = kvmchan_load(own);
	const bool moved = index != recall(kicked_index);

	note(kicked_index, index);
	unlock(driver_lock);
	if (moved)
		ring(peer_actor);
}

struct reading_thread {
	kvmchan_rx rx;
	stream b;
	std::uint64_t share;

	/* As KVMCHAN_IOC_RINGS and poll() do. */
	void wait()
	{
		lock(driver_lock);
		const bool ready = kvmchan_rx_watch(&rx, b.want, true);

		unlock(driver_lock);
		if (!ready)
			sleep();
	}

	void turn()
	{
		if (!share)
			finish();
		lock(mutex);
		const std::uint64_t got = recall(moved_bytes);

		rx.cons = first_index + got;
		rx.prod = recall(peer_index);
		if (kvmchan_rx_used(&rx) < b.want)
			check(!kvmchan_rx_refresh(&rx), "an honest writer is refused");
		note(peer_index, rx.prod);
		if (kvmchan_rx_used(&rx) < b.want) {
			unlock(mutex);
			wait();
			return;
		}
		const std::uint64_t n = b.want * (1 + choose(at_most(kvmchan_rx_used(&rx), share) / b.want));

		take(rx, got, n);
		share -= n;
		note(moved_bytes, got + n);
		const bool crossed = kvmchan_rx_commit(&rx, n);

		unlock(mutex);
		if (crossed)
			kick(&rx.own->rx_cons);
	}
};

struct writing_thread {
	kvmchan_tx tx;
	stream b;
	std::uint64_t share;

	void wait()
	{
		lock(driver_lock);
		const bool ready = kvmchan_tx_watch(&tx, b.room, true);

		unlock(driver_lock);
		if (!ready)
			sleep();
	}

	void turn()
	{
		if (!share)
			finish();
		lock(mutex);
		const std::uint64_t sent = recall(moved_bytes);

		tx.prod = first_index + sent;
		tx.cons = recall(peer_index);
		if (kvmchan_tx_free(&tx) < b.room)
			check(!kvmchan_tx_refresh(&tx), "an honest reader is refused");
		note(peer_index, tx.cons);
		if (kvmchan_tx_free(&tx) < b.room) {
			unlock(mutex);
			wait();
			return;
		}
		const std::uint64_t n = b.room * (1 + choose(at_most(kvmchan_tx_free(&tx), share) / b.room));

		fill(tx, sent, n);
		share -= n;
		note(moved_bytes, sent + n);
		const bool crossed = kvmchan_tx_commit(&tx, n);

		unlock(mutex);
		if (crossed)
			kick(&tx.own->tx_prod);
	}
};

scenario reading(const stream &b, std::uint64_t share)
{
	scenario s;

	s.name = b.name;
	s.noted[peer_index] = s.noted[kicked_index] = first_index;
	add_ring(s.places, s.words, 0, static_cast<unsigned>(b.size), first_index, peer_actor, threads);
	s.add_actor(stream_writer{make_tx(0, b.size, first_index), b, threads, 0});
	s.add_actor(reading_thread{make_rx(1, b.size, first_index), b, share});
	s.add_actor(reading_thread{make_rx(1, b.size, first_index), b, b.bytes - share});
	return s;
}

scenario writing(const stream &b, std::uint64_t share)
{
	scenario s;

	s.name = b.name;
	s.noted[peer_index] = s.noted[kicked_index] = first_index;
	add_ring(s.places, s.words, 0, static_cast<unsigned>(b.size), first_index, threads, peer_actor);
	s.add_actor(stream_reader{make_rx(1, b.size, first_index), b, threads, 0});
	s.add_actor(writing_thread{make_tx(0, b.size, first_index), b, share});
	s.add_actor(writing_thread{make_tx(0, b.size, first_index), b, b.bytes - share});
	return s;
}

} // namespace

int main()
{
	const scenario all[] = {
		reading({"two read, ring of 1, 1 + 1 bytes", 1, 2, 1, 1}, 1),
		reading({"two read, ring of 2, 2 + 1 bytes", 2, 3, 1, 1}, 2),
		reading({"two read, ring of 2, 2 + 2 bytes, they want 2", 2, 4, 1, 2}, 2),
		writing({"two write, ring of 1, 1 + 1 bytes", 1, 2, 1, 1}, 1),
		writing({"two write, ring of 2, 2 + 1 bytes", 2, 3, 1, 1}, 2),
		writing({"two write, ring of 2, 2 + 2 bytes, they want 2", 2, 4, 2, 1}, 2),
	};

	return run_all(all);
}
