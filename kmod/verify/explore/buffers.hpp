// SPDX-License-Identifier: MIT
// Memory with a buffer of stores before it, one for each actor: TSO, where they
// leave it in order, and PSO, where only those to one place do, and a release
// waits for all before it. Loads are made in order and see the own buffer.
#ifndef KVMCHAN_EXPLORE_BUFFERS_HPP
#define KVMCHAN_EXPLORE_BUFFERS_HPP

#include "fingerprint.hpp"
#include "layout.hpp"

namespace explore {

template <bool in_order>
struct buffers {
	static constexpr unsigned waiting_max = 16;
	/* Rings and locks pass through the buffer as well. */
	static constexpr std::uint8_t bell_place = places_max, lock_place = places_max + 1;

	struct entry {
		std::uint8_t where;
		std::uint8_t lock;
		bool release;
		std::uint64_t value;
	};

	struct buffer {
		unsigned count;
		std::array<entry, waiting_max> entries;
	};

	std::array<std::uint64_t, places_max> words;
	std::array<buffer, actors_max> waiting;
	unsigned bells;
	unsigned locks;

	/* Then not all has been explored. */
	static bool was_short() { return short_; }

	void start(const layout &l)
	{
		for (unsigned i = 0; i < l.count; ++i)
			words[i] = l.places[i].value;
	}

	/* In how many ways can it be done now? */
	unsigned ways(unsigned actor, const access &a, const layout &) const
	{
		const buffer &b = waiting[actor];

		switch (a.what) {
		case act::store:
		case act::store_release:
		case act::write:
		case act::ring:
		case act::unlock:
			return b.count < waiting_max;
		case act::barrier:
			return b.count == 0;
		case act::sleep:
			return bells >> actor & 1;
		case act::lock:
			return b.count == 0 && !(locks >> a.where & 1);
		default:
			return 1;
		}
	}

	/* Is it no matter to others when it is done? */
	static bool is_private(unsigned, const access &a, const layout &)
	{
		return a.what == act::store || a.what == act::store_release || a.what == act::write ||
		       a.what == act::ring || a.what == act::unlock;
	}

	std::uint64_t make(unsigned actor, const access &a, unsigned, const layout &, const char *&)
	{
		switch (a.what) {
		case act::store:
		case act::write:
			push(actor, {a.where, 0, false, a.value});
			return 0;
		case act::store_release:
			push(actor, {a.where, 0, true, a.value});
			return 0;
		case act::ring:
			push(actor, {bell_place, 0, true, a.value});
			return 0;
		case act::unlock:
			push(actor, {lock_place, a.where, true, 0});
			return 0;
		case act::sleep:
			bells &= ~(1U << actor);
			return 0;
		case act::lock:
			locks |= 1U << a.where;
			return 0;
		case act::load:
		case act::load_acquire:
		case act::read:
			return value_for(actor, a.where);
		default:
			return 0;
		}
	}

	/* The stores that may leave their buffer now, numbered over all actors. */
	static constexpr unsigned moves_max = actors_max * waiting_max;

	bool may_move(unsigned move) const
	{
		const buffer &b = waiting[mover(move)];
		const unsigned n = move % waiting_max;

		if (n >= b.count || (n && (in_order || b.entries[n].release)))
			return false;
		for (unsigned i = 0; i < n; ++i)
			if (b.entries[i].where == b.entries[n].where)
				return false;
		return true;
	}

	static unsigned mover(unsigned move) { return move / waiting_max; }

	entry move(unsigned move)
	{
		buffer &b = waiting[mover(move)];
		const unsigned n = move % waiting_max;
		const entry e = b.entries[n];

		for (unsigned i = n + 1; i < b.count; ++i)
			b.entries[i - 1] = b.entries[i];
		--b.count;
		if (e.where == bell_place)
			bells |= static_cast<unsigned>(e.value);
		else if (e.where == lock_place)
			locks &= ~(1U << e.lock);
		else
			words[e.where] = e.value;
		return e;
	}

	void settle(const layout &) {}

	std::uint64_t newest(unsigned where) const { return words[where]; }

	void add_to(fingerprint &f, const layout &l) const
	{
		f.add_words(words.data(), l.count * sizeof(words[0]));
		f.add(std::uint64_t{bells} << 32 | locks);
		for (const buffer &b : waiting) {
			f.add(b.count);
			for (unsigned i = 0; i < b.count; ++i) {
				const entry &e = b.entries[i];

				f.add(std::uint64_t{e.where} << 16 | std::uint64_t{e.lock} << 8 | e.release, e.value);
			}
		}
	}

private:
	static inline bool short_ = false;

	void push(unsigned actor, const entry &e)
	{
		buffer &b = waiting[actor];

		b.entries[b.count++] = e;
		short_ = short_ || b.count == waiting_max;
	}

	std::uint64_t value_for(unsigned actor, unsigned where) const
	{
		const buffer &b = waiting[actor];

		for (unsigned i = b.count; i--;)
			if (b.entries[i].where == where)
				return b.entries[i].value;
		return words[where];
	}
};

using tso = buffers<true>;
using pso = buffers<false>;

} // namespace explore

#endif
