// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <span>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace torture {

/** How far an end is on one channel, in memory that outlives it. */
struct channel_progress {
	std::atomic<std::uint64_t> my; ///< 0 while a session begins: then the rest says nothing
	std::atomic<std::uint64_t> peer;
	std::atomic<std::uint64_t> intended;
	std::atomic<std::uint64_t> accepted;
	std::atomic<std::uint64_t> received;

	void begin(std::uint64_t tag)
	{
		my = 0;
		peer = 0;
		intended = 0;
		accepted = 0;
		received = 0;
		my = tag;
	}
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/** A file with the progress on all channels; made if it is not there. */
class progress_file {
public:
	static constexpr std::size_t channels = 64;

	explicit progress_file(const std::filesystem::path &path)
	{
		const kvmchan::unique_fd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
		if (!fd || ::ftruncate(fd.get(), size) != 0)
			throw std::system_error{errno, std::system_category(), path.string()};
		memory_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
		if (memory_ == MAP_FAILED)
			throw std::system_error{errno, std::system_category(), path.string()};
	}
	progress_file(const progress_file &) = delete;
	progress_file &operator=(const progress_file &) = delete;
	~progress_file() { ::munmap(memory_, size); }

	std::span<channel_progress, channels> all() const
	{
		return std::span<channel_progress, channels>{static_cast<channel_progress *>(memory_), channels};
	}

private:
	static constexpr std::size_t size = channels * sizeof(channel_progress);
	void *memory_ = nullptr;
};

} // namespace torture
