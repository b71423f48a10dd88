// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace bench {

/**
 * Words in shared memory through which the host directs and watches a
 * measurement while it runs: all zero when one begins.
 */
struct control {
	/// Host: no more but the last message.
	alignas(128) std::atomic<std::uint64_t> stop;
	/// Host: now, for who waits for a moment.
	std::atomic<std::uint64_t> go;
	/// Sender, before its last message: bytes in all, with that one.
	alignas(128) std::atomic<std::uint64_t> sent;
	/// Receiver: bytes so far.
	alignas(128) std::atomic<std::uint64_t> received;
	/// Guest: it stands at the line; it is done.
	alignas(128) std::atomic<std::uint64_t> ready;
	std::atomic<std::uint64_t> done;

	void clear()
	{
		for (auto *word : {&stop, &go, &sent, &received, &ready, &done})
			word->store(0);
	}
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

} // namespace bench
