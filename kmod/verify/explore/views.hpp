// SPDX-License-Identifier: MIT
// Memory as release and acquire leave it, much weaker than any machine's stores
// and loads in order: a load may give any value that its actor does not know to
// be replaced, and what an actor knows is passed on by a release to an acquire,
// by full barriers, which are in one order, by bells and by locks.
#ifndef KVMCHAN_EXPLORE_VIEWS_HPP
#define KVMCHAN_EXPLORE_VIEWS_HPP

#include <algorithm>
#include <bit>

#include "fingerprint.hpp"
#include "layout.hpp"

namespace explore {

struct views {
	static constexpr unsigned messages_max = 8;
	static constexpr unsigned locks_max = 2;

	/* Of each place the oldest value that may still be read: a number in its history. */
	using view = std::array<std::uint8_t, places_max>;

	struct message {
		std::uint64_t value;
		view passed;
	};

	/* All that somebody may still read, the oldest first. */
	struct history {
		unsigned count;
		std::array<message, messages_max> messages;
	};

	struct knowledge {
		view now;
		view next;     /* after the next barrier: what plain loads were passed */
		view released; /* by the last barrier: what plain stores pass on */
	};

	std::array<history, places_max> places;
	std::array<knowledge, actors_max> known;
	std::array<view, actors_max> bell_views;
	std::array<view, locks_max> lock_views;
	view barriers;
	unsigned bells;
	unsigned locks;

	void start(const layout &l)
	{
		for (unsigned i = 0; i < l.count; ++i) {
			places[i].count = 1;
			places[i].messages[0].value = l.places[i].value;
		}
	}

	unsigned ways(unsigned actor, const access &a, const layout &) const
	{
		switch (a.what) {
		case act::load:
		case act::load_acquire:
			return places[a.where].count - known[actor].now[a.where];
		case act::sleep:
			return bells >> actor & 1;
		case act::lock:
			return !(locks >> a.where & 1);
		default:
			return 1;
		}
	}

	/*
	 * A store may as well be made at once: who shall not see it reads what
	 * was before. Of a race of two cells' accesses either order tells.
	 */
	static bool is_private(unsigned, const access &a, const layout &l)
	{
		if (a.what == act::read || a.what == act::write || a.what == act::unlock)
			return true;
		return (a.what == act::store || a.what == act::store_release) &&
		       std::has_single_bit(l.places[a.where].writers);
	}

	std::uint64_t make(unsigned actor, const access &a, unsigned way, const layout &l, const char *&fault)
	{
		knowledge &k = known[actor];

		switch (a.what) {
		case act::load:
		case act::load_acquire:
			return load(k, a, k.now[a.where] + way, l, actor);
		case act::store:
		case act::store_release:
			store(k, a, l, actor);
			return 0;
		case act::barrier:
			join(barriers, k.next);
			k = {barriers, barriers, barriers};
			return 0;
		case act::read:
			return read(k, a, l, fault);
		case act::write:
			write(k, a, l, fault);
			return 0;
		case act::ring:
			bells |= static_cast<unsigned>(a.value);
			for (unsigned i = 0; i < actors_max; ++i)
				if (a.value >> i & 1)
					join(bell_views[i], k.now);
			return 0;
		case act::sleep:
			bells &= ~(1U << actor);
			learn(k, bell_views[actor]);
			bell_views[actor] = {};
			return 0;
		case act::lock:
			locks |= 1U << a.where;
			learn(k, lock_views[a.where]);
			return 0;
		case act::unlock:
			locks &= ~(1U << a.where);
			lock_views[a.where] = k.now;
			return 0;
		default:
			return 0;
		}
	}

	/* Nothing happens here by itself. */
	static constexpr unsigned moves_max = 0;

	struct entry {
		std::uint8_t where;
		std::uint64_t value;
	};

	static bool may_move(unsigned) { return false; }
	static entry move(unsigned) { return {}; }
	static unsigned mover(unsigned) { return 0; }
	static bool was_short() { return false; }

	/* Forgets what nobody can read any more, so that states become alike. */
	void settle(const layout &l)
	{
		for (unsigned i = 0; i < l.count; ++i) {
			unsigned oldest = places[i].count - 1;

			for (unsigned actor = 0; actor < actors_max; ++actor)
				if (l.places[i].readers >> actor & 1)
					oldest = std::min<unsigned>(oldest, known[actor].now[i]);
			if (oldest)
				forget(i, oldest, l);
		}
	}

	std::uint64_t newest(unsigned where) const
	{
		return places[where].messages[places[where].count - 1].value;
	}

	void add_to(fingerprint &f, const layout &l) const
	{
		for (unsigned i = 0; i < l.count; ++i) {
			const history &h = places[i];

			f.add(h.count);
			f.add_words(h.messages.data(), h.count * sizeof(h.messages[0]));
		}
		f.add_words(known.data(), sizeof(known));
		f.add_words(bell_views.data(), sizeof(bell_views));
		f.add_words(lock_views.data(), sizeof(lock_views));
		f.add_words(barriers.data(), sizeof(barriers));
		f.add(std::uint64_t{bells} << 32 | locks);
	}

private:
	static void join(view &to, const view &from)
	{
		for (unsigned i = 0; i < places_max; ++i)
			to[i] = std::max(to[i], from[i]);
	}

	static void learn(knowledge &k, const view &from)
	{
		join(k.now, from);
		join(k.next, from);
	}

	std::uint64_t load(knowledge &k, const access &a, unsigned number, const layout &l, unsigned actor)
	{
		const message &m = places[a.where].messages[number];

		if (!(l.places[a.where].readers >> actor & 1))
			bad_scenario("a load by one who is no reader");
		k.now[a.where] = static_cast<std::uint8_t>(number);
		k.next[a.where] = std::max(k.next[a.where], k.now[a.where]);
		join(k.next, m.passed);
		if (a.what == act::load_acquire)
			join(k.now, m.passed);
		return m.value;
	}

	void store(knowledge &k, const access &a, const layout &l, unsigned actor)
	{
		if (!(l.places[a.where].writers >> actor & 1))
			bad_scenario("a store by one who is no writer");
		append(k, a.where, a.value, a.what == act::store_release);
	}

	void append(knowledge &k, unsigned where, std::uint64_t value, bool release)
	{
		history &h = places[where];

		if (h.count == messages_max)
			bad_scenario("too many values that may be read");
		const auto number = static_cast<std::uint8_t>(h.count++);
		message &m = h.messages[number];

		k.now[where] = number;
		k.next[where] = number;
		m.value = value;
		m.passed = release ? k.now : k.released;
		m.passed[where] = number;
	}

	bool knows_newest(const knowledge &k, unsigned where) const
	{
		return k.now[where] + 1U == places[where].count;
	}

	std::uint64_t read(knowledge &k, const access &a, const layout &l, const char *&fault)
	{
		if (!knows_newest(k, a.where))
			fault = "a cell is read that need not be what was written: a race";
		append(k, l.places[a.where].mark, 0, false);
		return newest(a.where);
	}

	void write(knowledge &k, const access &a, const layout &l, const char *&fault)
	{
		if (!knows_newest(k, l.places[a.where].mark))
			fault = "a cell is written that need not have been read: a race";
		append(k, a.where, a.value, false);
	}

	void forget(unsigned where, unsigned oldest, const layout &l)
	{
		history &h = places[where];

		std::copy(h.messages.begin() + oldest, h.messages.begin() + h.count, h.messages.begin());
		h.count -= oldest;
		const auto renumber = [&](view &v) {
			v[where] = static_cast<std::uint8_t>(v[where] > oldest ? v[where] - oldest : 0);
		};

		for (unsigned i = 0; i < l.count; ++i)
			for (unsigned n = 0; n < places[i].count; ++n)
				renumber(places[i].messages[n].passed);
		for (knowledge &k : known) {
			renumber(k.now);
			renumber(k.next);
			renumber(k.released);
		}
		std::for_each(bell_views.begin(), bell_views.end(), renumber);
		std::for_each(lock_views.begin(), lock_views.end(), renumber);
		renumber(barriers);
	}
};

} // namespace explore

#endif
