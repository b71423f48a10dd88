// SPDX-License-Identifier: MIT
// A ring between pages that nobody may touch.
#ifndef KVMCHAN_FUZZ_GUARDED_RING_HPP
#define KVMCHAN_FUZZ_GUARDED_RING_HPP

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <system_error>

#include <sys/mman.h>

#include "memory.hpp"

namespace kvmchan::fuzz {

/** Mapped once, and two times in a row, as the library has it. Lasts for ever. */
class guarded_ring {
public:
	explicit guarded_ring(std::size_t size)
		: memory_{memory::create_memfd("kvmchan-fuzz-ring", size)}, once_{map(1)}, twice_{map(2)}
	{
	}

	std::span<std::byte> once() const noexcept { return once_; }
	std::span<std::byte> twice() const noexcept { return twice_; }
	void clear() const noexcept { std::memset(once_.data(), 0, once_.size()); }

private:
	static constexpr std::size_t guard = 64 * 1024;

	std::span<std::byte> map(std::size_t times) const
	{
		const std::size_t size = memory_.size();
		void *const place = ::mmap(nullptr, times * size + 2 * guard, PROT_NONE,
		                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (place == MAP_FAILED)
			throw std::system_error{errno, std::system_category(), "mmap"};
		std::byte *const start = static_cast<std::byte *>(place) + guard;

		for (std::size_t i = 0; i < times; ++i)
			if (::mmap(start + i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_.fd(), 0) ==
			    MAP_FAILED)
				throw std::system_error{errno, std::system_category(), "mmap"};
		return {start, times * size};
	}

	memory memory_;
	std::span<std::byte> once_, twice_;
};

} // namespace kvmchan::fuzz

#endif
