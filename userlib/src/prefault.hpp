// SPDX-License-Identifier: MIT
// The pages of a ring, mapped a little before they are used for the first time.
#ifndef KVMCHAN_PREFAULT_HPP
#define KVMCHAN_PREFAULT_HPP

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvmchan::detail {

/**
 * A page that is touched for the first time is a fault, which on a host that is
 * a virtual machine itself can take longer than the peer looks before it sleeps:
 * one small message in 64 would be late, and wake somebody. So an end that moves
 * on has the next pages mapped, many by one call, until it has been around.
 *
 * Only what is about to be used, so that an idle channel takes no memory. Where
 * the pages cannot be had like that (before Linux 5.14; in a guest, whose driver
 * maps many at a fault), they are mapped as they are touched.
 */
class prefault {
public:
	/** Bytes that are mapped at a time; at least as much is ready ahead. */
	static constexpr std::uint64_t piece = 64 * 1024;
	/** Who moves no further than this needs a page or two, and gets no call. */
	static constexpr std::uint64_t first = 4096;

	enum class access { read, write };

	explicit prefault(access how) noexcept : how_{how} {}

	/** A way through @p ring, whose size is a power of two, begins where the next move does. */
	void restart(std::span<const std::byte> ring) noexcept
	{
		ring_ = ring;
		begun_ = false;
		due_ = 0;
	}

	/** The end has moved by @p length to @p index, free-running. */
	void reach(std::uint64_t index, std::uint64_t length) noexcept
	{
		if (index - start_ >= due_)
			more(index, length);
	}

private:
	static constexpr std::uint64_t never = UINT64_MAX;

	void more(std::uint64_t index, std::uint64_t length) noexcept;
	bool map(std::uint64_t index, std::uint64_t length) const noexcept;

	access how_;
	bool begun_ = false;
	std::span<const std::byte> ring_;
	std::uint64_t start_ = 0;
	/* How far from the start pages are there, and where more are to be had. */
	std::uint64_t mapped_ = 0;
	std::uint64_t due_ = never;
};

} // namespace kvmchan::detail

#endif
