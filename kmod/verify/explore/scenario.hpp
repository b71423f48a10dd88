// SPDX-License-Identifier: MIT
// What is explored: places, actors with what is private to them, and which ends
// are good ones.
#ifndef KVMCHAN_EXPLORE_SCENARIO_HPP
#define KVMCHAN_EXPLORE_SCENARIO_HPP

#include <cstring>
#include <type_traits>

#include "layout.hpp"

namespace explore {

constexpr unsigned local_max = 512;
constexpr unsigned notes_max = 16;

using notes = std::array<std::uint64_t, notes_max>;

/* What the actors have when nobody can go on. */
using rest = std::array<const unsigned char *, actors_max>;

struct scenario {
	const char *name;
	layout places;
	shared_words words;
	unsigned actors = 0;
	std::array<void (*)(void *), actors_max> turns{};
	std::array<std::array<unsigned char, local_max>, actors_max> locals{};
	unsigned local_size = 0;
	notes noted{};

	/* What is wrong with this end, or nothing; without it: whoever sleeps. */
	const char *(*judge)(const rest &) = nullptr;

	template <class T>
	void add_actor(const T &local)
	{
		static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= local_max);
		std::memcpy(locals[actors].data(), &local, sizeof(local));
		turns[actors++] = [](void *at) { static_cast<T *>(at)->turn(); };
		if (sizeof(T) > local_size)
			local_size = (sizeof(T) + 7) / 8 * 8;
	}
};

} // namespace explore

#endif
