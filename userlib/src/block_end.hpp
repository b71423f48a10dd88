// SPDX-License-Identifier: MIT
// A named block of shared memory, seen from one end.
#ifndef KVMCHAN_BLOCK_END_HPP
#define KVMCHAN_BLOCK_END_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace kvmchan::detail {

class region;

/**
 * The interface behind the C API's memory blocks. Returns 0 or a negated errno
 * value. Any thread, but one at a time in wait().
 */
class block_end {
public:
	/** In a guest: a device node. Throws std::system_error. */
	static std::unique_ptr<block_end> open_device(const std::string &device);
	/** On the host. Throws std::system_error. */
	static std::unique_ptr<block_end> open_host(const std::shared_ptr<region> &where, std::string_view name);

	virtual ~block_end() = default;

	virtual std::span<std::byte> bytes() const noexcept = 0;
	/** Tells the peer. -EBUSY when another process speaks for this side. */
	virtual int signal() noexcept = 0;
	/** The peer's signals so far. */
	virtual int count(std::uint64_t &out) noexcept = 0;
	/** Until the peer's count is not @p count; then that is it. -ETIMEDOUT. */
	virtual int wait(std::uint64_t &count, std::chrono::nanoseconds timeout) noexcept = 0;
};

} // namespace kvmchan::detail

#endif
