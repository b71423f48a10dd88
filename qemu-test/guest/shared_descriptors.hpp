// SPDX-License-Identifier: MIT
/*
 * What threads that do anything share: descriptors that any of them may close,
 * mappings that any may take away, an io_uring, an epoll set, and memory to
 * read into and write from. To use what another thread is closing is meant.
 */
#pragma once

#include "uring.hpp"

#include <array>
#include <atomic>
#include <mutex>

#include <sys/epoll.h>
#include <sys/mman.h>

namespace node {

class shared_descriptors {
public:
	static constexpr std::size_t count = 24;

	shared_descriptors()
	    : file_{::memfd_create("file", MFD_CLOEXEC)}, epoll_{::epoll_create1(EPOLL_CLOEXEC)}
	{
		if (!file_ || ::ftruncate(file_.get(), memory_size) != 0 || !epoll_)
			fail("memfd or epoll");
		memory_ = reserve(nullptr, whole_size);
		::mprotect(memory_, memory_size, PROT_READ | PROT_WRITE);
		for (auto &each : descriptors_)
			each = -1;
	}
	shared_descriptors(const shared_descriptors &) = delete;
	shared_descriptors &operator=(const shared_descriptors &) = delete;
	~shared_descriptors()
	{
		uring_.reset();
		for (std::size_t i = 0; i < count; ++i) {
			put(i, -1);
			put_mapping(i, nullptr, 0);
		}
		::munmap(memory_, whole_size);
	}

	int descriptor(std::size_t which) const { return descriptors_[which]; }
	/** Puts a descriptor in the place of another, which is closed; false for -1 that was -1. */
	bool put(std::size_t which, int fd)
	{
		const int was = descriptors_[which].exchange(fd);
		if (was >= 0)
			::close(was);
		return fd >= 0 || was >= 0;
	}

	void *mapping(std::size_t which, std::size_t &length)
	{
		const std::lock_guard lock{mappings_mutex_};
		length = sizes_[which];
		return length ? place(which) : nullptr;
	}
	/**
	 * Moves a mapping to the place of another, which is taken away; nullptr: to
	 * have none there. The place is never another one's: who goes on to use
	 * what was there gets an error.
	 */
	bool put_mapping(std::size_t which, void *at, std::size_t size)
	{
		const std::lock_guard lock{mappings_mutex_};
		const auto was = std::exchange(sizes_[which], 0);
		reserve(place(which), place_size);
		if (!at)
			return was > 0;
		if (::mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place(which)) == MAP_FAILED) {
			::munmap(at, size);
			reserve(place(which), place_size);
			return false;
		}
		sizes_[which] = size;
		return true;
	}
	/** The longest mapping that has room. */
	static constexpr std::size_t mapping_most = 64 << 12;

	/** Runs @p what with the ring, which one thread uses at a time; false if it is refused. */
	template <typename What>
	bool with_uring(What what)
	{
		const std::lock_guard lock{uring_mutex_};
		try {
			what(*uring_);
			return true;
		} catch (const std::system_error &) {
			return false;
		}
	}

	int file() const { return file_.get(); }
	int epoll() const { return epoll_.get(); }
	/** memory_size bytes that all threads scribble over. */
	char *memory() const { return memory_; }
	/** Where it ends. */
	char *edge() const { return memory_ + memory_size; }

private:
	static constexpr std::size_t memory_size = 1 << 18;
	static constexpr std::size_t edge_size = 1 << 18;
	static constexpr std::size_t place_size = mapping_most;
	static constexpr std::size_t whole_size = memory_size + edge_size + count * place_size;

	/* Addresses that nobody else gets, and nobody can use. */
	static char *reserve(void *at, std::size_t size)
	{
		void *got = ::mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0), -1, 0);
		if (got == MAP_FAILED)
			fail("mmap");
		return static_cast<char *>(got);
	}
	char *place(std::size_t which) const { return edge() + edge_size + which * place_size; }

	unique_fd file_;
	unique_fd epoll_;
	char *memory_ = nullptr;
	std::array<std::atomic<int>, count> descriptors_;
	std::mutex mappings_mutex_;
	std::array<std::size_t, count> sizes_{};
	std::mutex uring_mutex_;
	std::optional<uring> uring_{std::in_place, 64U};
};

} // namespace node
