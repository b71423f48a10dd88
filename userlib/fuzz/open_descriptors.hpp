// SPDX-License-Identifier: MIT
// Finds descriptors that are left open.
#ifndef KVMCHAN_FUZZ_OPEN_DESCRIPTORS_HPP
#define KVMCHAN_FUZZ_OPEN_DESCRIPTORS_HPP

#include <cstddef>

#include <fcntl.h>

#include "require.hpp"

namespace kvmchan::fuzz {

/** At its end none is open that was not at its beginning. For one thread. */
class open_descriptors {
public:
	open_descriptors() noexcept : before_{count()} {}
	open_descriptors(const open_descriptors &) = delete;
	open_descriptors &operator=(const open_descriptors &) = delete;
	~open_descriptors() { require(count() == before_, "every descriptor that was received is closed"); }

private:
	/* New ones are the lowest that are free, so that no leak hides further up. */
	static constexpr int looked_at = 96;

	static int count() noexcept
	{
		int open = 0;

		for (int fd = 0; fd < looked_at; ++fd)
			open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
		return open;
	}

	int before_;
};

} // namespace kvmchan::fuzz

#endif
