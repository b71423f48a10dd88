// SPDX-License-Identifier: MIT
// A ring, mapped two times in a row.
#ifndef KVMCHAN_RING_VIEW_HPP
#define KVMCHAN_RING_VIEW_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include "mapping_guard.hpp"

namespace kvmchan::detail {

/** What lies across the ring's end is in one piece here. Move-only. */
class ring_view {
public:
	ring_view() noexcept = default;
	/** Maps @p size bytes from @p offset of @p fd twice. */
	ring_view(int fd, std::uint64_t offset, std::size_t size, bool writable, std::error_code &ec) noexcept;
	ring_view(ring_view &&other) noexcept;
	ring_view &operator=(ring_view &&other) noexcept;
	~ring_view() { reset(); }

	/** Twice the ring's size. */
	std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
	explicit operator bool() const noexcept { return data_; }

	/** Turns a SIGBUS in it into ENODEV in @p error, which lives longer: see mapping_guard. */
	void guard(std::atomic<int> &error, std::error_code &ec) noexcept;
	void reset() noexcept;

private:
	std::byte *data_ = nullptr;
	std::size_t size_ = 0;
	mapping_guard guard_;
};

} // namespace kvmchan::detail

#endif
