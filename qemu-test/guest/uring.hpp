// SPDX-License-Identifier: MIT
// The least of io_uring that tests need, by the system calls themselves.
#pragma once

#include "node.hpp"

#include <atomic>
#include <optional>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace node {

/** One submission at a time, completions in any order. */
class uring {
public:
	struct completion {
		std::uint64_t user_data;
		int res;
	};

	explicit uring(unsigned entries = 16)
	{
		ring_ = unique_fd{static_cast<int>(::syscall(SYS_io_uring_setup, entries, &params_))};
		if (!ring_)
			fail("io_uring_setup");
		sq_ = map(params_.sq_off.array + params_.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
		cq_ = map(params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
		sqes_ = reinterpret_cast<io_uring_sqe *>(
			map(params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
	}
	uring(const uring &) = delete;
	uring &operator=(const uring &) = delete;
	~uring()
	{
		::munmap(sq_, params_.sq_off.array + params_.sq_entries * sizeof(unsigned));
		::munmap(cq_, params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe));
		::munmap(sqes_, params_.sq_entries * sizeof(io_uring_sqe));
	}

	void submit(const io_uring_sqe &what)
	{
		const std::atomic_ref tail{*word(sq_, params_.sq_off.tail)};
		const unsigned index = tail & *word(sq_, params_.sq_off.ring_mask);
		sqes_[index] = what;
		word(sq_, params_.sq_off.array)[index] = index;
		tail.store(tail + 1, std::memory_order_release);
		if (::syscall(SYS_io_uring_enter, ring_.get(), 1, 0, 0, nullptr, 0) != 1)
			fail("io_uring_enter");
	}

	void transfer(std::uint8_t opcode, const unique_fd &fd, void *buffer, std::size_t length, std::uint64_t user,
	              std::uint32_t rw_flags = 0)
	{
		io_uring_sqe s{};
		s.opcode = opcode;
		s.fd = fd.get();
		s.off = ~0ULL;
		s.addr = reinterpret_cast<std::uintptr_t>(buffer);
		s.len = static_cast<std::uint32_t>(length);
		s.rw_flags = static_cast<decltype(s.rw_flags)>(rw_flags);
		s.user_data = user;
		submit(s);
	}

	/** A completion that is there, if any. */
	std::optional<completion> completed()
	{
		const std::atomic_ref head{*word(cq_, params_.cq_off.head)};
		const std::atomic_ref tail{*word(cq_, params_.cq_off.tail)};
		// Runs what the kernel has left to the task, as a poll that came true.
		::syscall(SYS_io_uring_enter, ring_.get(), 0, 0, IORING_ENTER_GETEVENTS, nullptr, 0);
		if (head == tail.load(std::memory_order_acquire))
			return std::nullopt;
		const auto *cqes = reinterpret_cast<const io_uring_cqe *>(cq_ + params_.cq_off.cqes);
		const auto &entry = cqes[head & *word(cq_, params_.cq_off.ring_mask)];
		const completion found{entry.user_data, entry.res};
		head.store(head + 1, std::memory_order_release);
		return found;
	}

	/** Sleeps until there is one, for ever if none comes. */
	completion next()
	{
		for (;;) {
			if (const auto found = completed())
				return *found;
			::syscall(SYS_io_uring_enter, ring_.get(), 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0);
		}
	}

	/** Waits for one; ends the program if none comes. */
	completion wait()
	{
		std::optional<completion> found;
		if (!eventually([&] { return (found = completed()).has_value(); }))
			give_up("io_uring completes nothing");
		return *found;
	}

private:
	char *map(std::size_t length, unsigned long long offset)
	{
		void *at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_.get(),
		                  static_cast<off_t>(offset));
		if (at == MAP_FAILED)
			fail("mmap of an io_uring");
		return static_cast<char *>(at);
	}
	static unsigned *word(char *base, unsigned offset) { return reinterpret_cast<unsigned *>(base + offset); }

	io_uring_params params_{};
	unique_fd ring_;
	char *sq_ = nullptr;
	char *cq_ = nullptr;
	io_uring_sqe *sqes_ = nullptr;
};

} // namespace node
