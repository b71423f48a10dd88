// SPDX-License-Identifier: MIT
// C++: named blocks of shared memory.
#ifndef KVMCHAN_MEMORY_API_HPP
#define KVMCHAN_MEMORY_API_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "kvmchan/error.hpp"
#include "kvmchan/kvmchan.h"
#include "kvmchan/region.hpp"

namespace kvmchan::inline v1 {

/**
 * A named block, mapped for reading and writing; see struct kvmchan_memory. The
 * peer can change any of it at any time: copy, and then look at the copy.
 * Move-only; the mapping stays where it is when the object moves.
 */
class memory_block {
public:
	/** In a guest: /dev/kvmchanN, or a name below /dev/kvmchan/by-name. */
	explicit memory_block(const std::filesystem::path &device)
	{
		take([&](auto **out) { return kvmchan_memory_open(device.c_str(), out); });
	}

	/** On the host. */
	memory_block(const region &where, const std::string &name)
	{
		take([&](auto **out) { return kvmchan_memory_connect(where.c_handle(), name.c_str(), out); });
	}

	std::span<std::byte> bytes() const noexcept
	{
		return {static_cast<std::byte *>(kvmchan_memory_address(handle_.get())), kvmchan_memory_size(handle_.get())};
	}

	/** Tells the peer; device_or_resource_busy when another process speaks for this side. */
	void signal() { internal::checked(kvmchan_memory_signal(handle_.get()), "signal"); }
	void signal(std::error_code &ec) noexcept { internal::coded(kvmchan_memory_signal(handle_.get()), ec); }

	/** The peer's signals so far. */
	std::uint64_t count() const
	{
		std::uint64_t out = 0;

		internal::checked(kvmchan_memory_count(handle_.get(), &out), "signal count");
		return out;
	}

	/**
	 * Waits until the peer's count is not @p seen; returns it, or @p seen after
	 * @p timeout (negative: no limit).
	 */
	std::uint64_t wait(std::uint64_t seen, std::chrono::nanoseconds timeout = std::chrono::nanoseconds{-1})
	{
		const int error = kvmchan_memory_wait(handle_.get(), &seen, timeout.count());

		if (error != -ETIMEDOUT)
			internal::checked(error, "waiting for a signal");
		return seen;
	}

	/** For the C interface; stays this object's. */
	kvmchan_memory *c_handle() const noexcept { return handle_.get(); }

private:
	struct closer {
		void operator()(kvmchan_memory *handle) const noexcept { kvmchan_memory_close(handle); }
	};

	template <typename Open>
	void take(Open open)
	{
		kvmchan_memory *out = nullptr;

		if (const int error = open(&out))
			internal::throw_opening(error);
		handle_.reset(out);
	}

	std::unique_ptr<kvmchan_memory, closer> handle_;
};

} // namespace kvmchan::inline v1

#endif
