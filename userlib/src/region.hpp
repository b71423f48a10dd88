// SPDX-License-Identifier: MIT
// A region as a process on the host sees it: memory, table, doorbells.
#ifndef KVMCHAN_REGION_HPP
#define KVMCHAN_REGION_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "memory.hpp"
#include "mapping_guard.hpp"
#include "region_bells.hpp"
#include "region_snapshot.hpp"

namespace kvmchan::detail {

/** How a region is attached. */
struct region_options {
	/** Most time that the server may take for its handshake. */
	std::chrono::nanoseconds timeout = std::chrono::seconds{5};
	/** Turn a SIGBUS in this region's memory into the loss of the region. */
	bool guard = false;
};

/**
 * One attached region. Shared by the channels and memory blocks that were
 * opened through it, which keep it alive. All functions may be called from any
 * thread. Functions that attach throw std::system_error; its text names the
 * region and what to do.
 */
class region {
public:
	/** A client of the ivshmem server at @p socket: doorbells, and death is noticed. */
	static std::shared_ptr<region> attach(const std::string &socket, const region_options &options = {});
	/** A POSIX shared memory object (no slash, or a leading one only) or a file. */
	static std::shared_ptr<region> open(const std::string &name_or_path, const region_options &options = {});
	/** A descriptor of the memory; taken over. */
	static std::shared_ptr<region> adopt(unique_fd fd, const region_options &options = {});

	region(memory mem, std::unique_ptr<region_bells> bells, const region_options &options);
	region(const region &) = delete;
	region &operator=(const region &) = delete;

	std::span<std::byte> bytes() const noexcept { return memory_.bytes(); }
	int fd() const noexcept { return memory_.fd(); }
	bool sealed() const noexcept { return memory_.sealed(); }
	bool guarded() const noexcept { return static_cast<bool>(guard_); }
	/** Null when the region was not attached through a server. */
	region_bells *bells() const noexcept { return bells_.get(); }

	/** Superblock and table as of the last refresh(). */
	std::shared_ptr<const region_snapshot> snapshot() const;
	/** Takes a new snapshot if the generation moved. Throws as take() does. */
	std::shared_ptr<const region_snapshot> refresh();

	/** An access to the memory failed (truncated, with guard). */
	bool memory_lost() const noexcept { return error_.load(std::memory_order_acquire) != 0; }

private:
	memory memory_;
	std::atomic<int> error_{0};
	mapping_guard guard_;
	std::unique_ptr<region_bells> bells_;
	mutable std::mutex mutex_;
	std::shared_ptr<const region_snapshot> snapshot_; /* under mutex_ */
};

} // namespace kvmchan::detail

#endif
