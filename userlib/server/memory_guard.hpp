// SPDX-License-Identifier: MIT
// A region's memory that a client may take away under the server.
#ifndef KVMCHAN_SERVER_MEMORY_GUARD_HPP
#define KVMCHAN_SERVER_MEMORY_GUARD_HPP

#include <cstddef>
#include <span>
#include <utility>

#include "memory.hpp"
#include "region_guard.hpp"

namespace kvmchan {

/**
 * Guards memory that is not sealed while the object lives, not longer than the
 * memory: who truncates it ends nobody but the region. Move-only.
 */
class memory_guard {
public:
	memory_guard() noexcept = default;
	/** Throws std::system_error. */
	explicit memory_guard(const memory &what)
	{
		if (what.sealed())
			return;
		detail::guard_mapping(what.bytes());
		bytes_ = what.bytes();
	}
	memory_guard(memory_guard &&other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
	memory_guard &operator=(memory_guard &&other) noexcept
	{
		std::swap(bytes_, other.bytes_);
		return *this;
	}
	~memory_guard()
	{
		if (!bytes_.empty())
			detail::unguard_mapping(bytes_);
	}

	/** Was it truncated, and has that been met? */
	bool lost() const noexcept { return !bytes_.empty() && detail::mapping_lost(bytes_); }

private:
	std::span<std::byte> bytes_;
};

} // namespace kvmchan

#endif
