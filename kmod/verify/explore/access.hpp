// SPDX-License-Identifier: MIT
// What an actor of a scenario does that others can see, and how it does it.
#ifndef KVMCHAN_EXPLORE_ACCESS_HPP
#define KVMCHAN_EXPLORE_ACCESS_HPP

#include <array>
#include <csetjmp>
#include <cstdint>

#include <linux/types.h>

namespace explore {

enum class act : std::uint8_t {
	load,
	load_acquire,
	store,
	store_release,
	barrier,
	read,   // a cell of a ring: as plain memory, which must not race
	write,  // the same
	ring,   // value: the actors whose bell it is, a bit each
	sleep,  // until the own bell, which is then silent again
	lock,   // an actor's lock, as the module and the library have them
	unlock,
	choose, // value: of how many
	note,   // of the scenario, about what really happened; no memory
	recall, // the same
	newest, // the same: what a place will hold when all have seen all
	finish,
	fail,
};

struct access {
	act what;
	std::uint8_t where; // a place (layout.hpp), a lock or a note
	std::uint64_t value;
	const char *text;   // of act::fail
};

/*
 * An actor runs one turn after another. A turn is run again from its start for
 * each access: those that have been made give what they gave, and the first
 * that has not leaves the turn and is what the actor does next. So an actor's
 * state is what it had at the start of its turn, and what its accesses gave.
 */
constexpr unsigned log_max = 48;

struct replay {
	const std::uint64_t *log;
	unsigned count;
	unsigned at;
	access next;
	std::jmp_buf leave;
};

inline replay running;

/* Nothing in a turn may have a destructor. */
inline std::uint64_t perform(const access &a)
{
	if (running.at < running.count)
		return running.log[running.at++];
	running.next = a;
	std::longjmp(running.leave, 1);
}

inline void check(bool holds, const char *text)
{
	if (!holds)
		perform({act::fail, 0, 0, text});
}

inline void ring(unsigned actors)
{
	perform({act::ring, 0, actors, nullptr});
}

inline void sleep()
{
	perform({act::sleep, 0, 0, nullptr});
}

inline void lock(unsigned which)
{
	perform({act::lock, static_cast<std::uint8_t>(which), 0, nullptr});
}

inline void unlock(unsigned which)
{
	perform({act::unlock, static_cast<std::uint8_t>(which), 0, nullptr});
}

/* 0 to @of - 1: each of them. */
inline std::uint64_t choose(std::uint64_t of)
{
	return of == 1 ? 0 : perform({act::choose, 0, of, nullptr});
}

inline void note(unsigned which, std::uint64_t value)
{
	perform({act::note, static_cast<std::uint8_t>(which), value, nullptr});
}

inline std::uint64_t recall(unsigned which)
{
	return perform({act::recall, static_cast<std::uint8_t>(which), 0, nullptr});
}

inline std::uint64_t newest(const __le64 *word)
{
	return perform({act::newest, static_cast<std::uint8_t>(*word), 0, nullptr});
}

[[noreturn]] inline void finish()
{
	perform({act::finish, 0, 0, nullptr});
	__builtin_unreachable();
}

} // namespace explore

#endif
