// SPDX-License-Identifier: MIT
// Memory slots: mapping, signalling, waiting.
#include "blocked_thread.hpp"

#include <csetjmp>
#include <csignal>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

using namespace node;

constexpr const char *name = "block";
constexpr std::size_t size = 1 << 20, page = 4096;

/* A mapping that ends with its scope. */
class view {
public:
	explicit view(const unique_fd &fd, std::size_t length = size, off_t offset = 0, int protection = PROT_READ | PROT_WRITE)
	    : length_{length}, at_{::mmap(nullptr, length, protection, MAP_SHARED, fd.get(), offset)}
	{
		if (at_ == MAP_FAILED)
			fail("mmap");
	}
	view(const view &) = delete;
	view &operator=(const view &) = delete;
	~view() { ::munmap(at_, length_); }

	volatile char &operator[](std::size_t i) const { return static_cast<volatile char *>(at_)[i]; }

private:
	std::size_t length_;
	void *at_;
};

int map_error(const unique_fd &fd, std::size_t length, int protection, int flags, off_t offset = 0)
{
	void *at = ::mmap(nullptr, length, protection, flags, fd.get(), offset);
	if (at == MAP_FAILED)
		return errno;
	::munmap(at, length);
	return 0;
}

int wait_signal(const unique_fd &fd, std::uint64_t &count, std::int64_t timeout_ns)
{
	kvmchan_wait w{count, timeout_ns};
	const int failed = ::ioctl(fd.get(), KVMCHAN_IOC_WAIT, &w);
	count = w.count;
	return failed ? errno : 0;
}

/* The count as it is now: it never waits. */
std::uint64_t seen(const unique_fd &fd)
{
	std::uint64_t count = 0;
	wait_signal(fd, count, 0);
	return count;
}

TEST(memory_slots, tell_what_they_are)
{
	const auto fd = open_side(name, 0);
	const auto i = info(fd);
	EXPECT_EQ(i.kind, 2U);
	EXPECT_EQ(i.rx_size, size);
	EXPECT_EQ(i.tx_size, 0U);
	EXPECT_EQ(attribute(name, 0, "kind"), "memory");
	EXPECT_EQ(attribute(name, 0, "rx_size"), std::to_string(size));
}

TEST(memory_slots, show_both_ends_the_same_bytes)
{
	const auto a = open_side(name, 0), b = open_side(name, 1);
	const view mine{a}, theirs{b};
	for (std::size_t i = 0; i < size; i += page / 2) {
		mine[i] = static_cast<char>(i / 64 + 1);
		ASSERT_EQ(theirs[i], static_cast<char>(i / 64 + 1)) << i;
	}
	theirs[size - 1] = 77;
	EXPECT_EQ(mine[size - 1], 77);
}

TEST(memory_slots, may_be_open_many_times)
{
	const auto a = open_side(name, 0), again = open_side(name, 0), reader = open_side(name, 0, O_RDONLY);
	const view first{a}, second{again}, third{reader, size, 0, PROT_READ};
	first[5] = 55;
	EXPECT_EQ(second[5], 55);
	EXPECT_EQ(third[5], 55);
}

TEST(memory_slots, stay_mapped_when_the_file_is_closed)
{
	auto a = open_side(name, 0);
	const view mapped{a};
	a.reset();
	mapped[3] = 33;
	EXPECT_EQ(view{open_side(name, 1)}[3], 33);
}

TEST(memory_slots, are_mapped_within_their_bounds)
{
	const auto a = open_side(name, 0), other = open_side("page", 0);
	EXPECT_EQ(map_error(a, size, PROT_READ, MAP_SHARED), 0);
	EXPECT_EQ(map_error(a, size + page, PROT_READ, MAP_SHARED), EINVAL);
	EXPECT_EQ(map_error(a, page, PROT_READ, MAP_SHARED, size), EINVAL);
	EXPECT_EQ(map_error(a, 2 * page, PROT_READ, MAP_SHARED, size - page), EINVAL);
	EXPECT_EQ(map_error(a, page, PROT_READ, MAP_SHARED, size - page), 0);
	EXPECT_EQ(map_error(a, page, PROT_READ, MAP_SHARED, (off_t{1} << 62)), EINVAL);
	EXPECT_EQ(map_error(other, 2 * page, PROT_READ, MAP_SHARED), EINVAL);
	const view whole{a}, last{a, page, size - page};
	last[0] = 99;
	EXPECT_EQ(whole[size - page], 99);
}

TEST(memory_slots, are_mapped_shared_only)
{
	const auto a = open_side(name, 0);
	EXPECT_EQ(map_error(a, size, PROT_READ, MAP_PRIVATE), EINVAL);
	EXPECT_EQ(map_error(a, size, PROT_READ | PROT_WRITE, MAP_PRIVATE), EINVAL);
}

TEST(memory_slots, open_for_reading_are_not_written)
{
	const auto a = open_side(name, 0, O_RDONLY);
	EXPECT_EQ(map_error(a, size, PROT_READ | PROT_WRITE, MAP_SHARED), EACCES);
	void *at = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, a.get(), 0);
	ASSERT_NE(at, MAP_FAILED);
	EXPECT_EQ(::mprotect(at, page, PROT_READ | PROT_WRITE), -1);
	EXPECT_EQ(errno, EACCES);
	::munmap(at, page);
}

TEST(memory_slots, cannot_grow_by_mremap)
{
	const auto a = open_side(name, 0);
	void *at = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, a.get(), size - page);
	ASSERT_NE(at, MAP_FAILED);
	EXPECT_EQ(::mremap(at, page, 2 * page, MREMAP_MAYMOVE), MAP_FAILED);
	EXPECT_EQ(errno, EFAULT);
	::munmap(at, page);
}

TEST(memory_slots, are_inherited_by_a_child)
{
	const auto a = open_side(name, 0);
	const view mapped{a};
	mapped[9] = 1;
	const pid_t child = ::fork();
	if (child == 0) {
		mapped[9] = 2;
		::_exit(0);
	}
	int status = -1;
	EXPECT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(mapped[9], 2);
}

TEST(memory_slots, are_no_streams)
{
	const auto a = open_side(name, 0);
	char c = 0;
	EXPECT_EQ(::read(a.get(), &c, 1), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(::write(a.get(), &c, 1), -1);
	EXPECT_EQ(errno, EINVAL);
	alignas(8) char argument[512] = {};
	for (const unsigned long request :
	     {static_cast<unsigned long>(FIONREAD), static_cast<unsigned long>(KVMCHAN_IOC_SHUTDOWN),
	      static_cast<unsigned long>(KVMCHAN_IOC_GET_LOWAT), static_cast<unsigned long>(KVMCHAN_IOC_SET_LOWAT),
	      static_cast<unsigned long>(KVMCHAN_IOC_LAST_RECORD), static_cast<unsigned long>(KVMCHAN_IOC_RECONNECT),
	      static_cast<unsigned long>(KVMCHAN_IOC_SPACE)}) {
		EXPECT_EQ(::ioctl(a.get(), request, argument), -1) << std::hex << request;
		EXPECT_EQ(errno, ENOTTY) << std::hex << request;
	}
}

/* ---- signals ---- */

TEST(memory_slots, signal_each_other)
{
	const auto a = open_side(name, 0), b = open_side(name, 1);
	auto count = seen(b);
	const auto before = count;
	EXPECT_EQ(wait_signal(b, count, 0), ETIMEDOUT);
	ASSERT_EQ(::ioctl(a.get(), KVMCHAN_IOC_SIGNAL), 0);
	ASSERT_EQ(::ioctl(a.get(), KVMCHAN_IOC_SIGNAL), 0);
	EXPECT_EQ(wait_signal(b, count, -1), 0);
	EXPECT_EQ(count, before + 2) << "signals are counted, not queued";
	EXPECT_EQ(wait_signal(b, count, 0), ETIMEDOUT);
	auto own = seen(a);
	EXPECT_EQ(wait_signal(a, own, 0), ETIMEDOUT) << "one does not hear oneself";
}

TEST(memory_slots, wake_who_waits)
{
	const auto a = open_side(name, 0), b = open_side(name, 1);
	auto count = seen(b);
	int error = -1;
	blocked_thread waiter{[&] { error = wait_signal(b, count, -1); }};
	ASSERT_TRUE(waiter.in(SYS_ioctl));
	ASSERT_EQ(::ioctl(a.get(), KVMCHAN_IOC_SIGNAL), 0);
	waiter.join();
	EXPECT_EQ(error, 0);
}

TEST(memory_slots, wait_no_longer_than_they_are_told)
{
	const auto b = open_side(name, 1);
	auto count = seen(b);
	const auto begin = std::chrono::steady_clock::now();
	EXPECT_EQ(wait_signal(b, count, 20'000'000), ETIMEDOUT);
	EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
}

TEST(memory_slots, are_interrupted_by_a_signal)
{
	struct sigaction action {};
	action.sa_handler = [](int) {};
	action.sa_flags = SA_RESTART;
	ASSERT_EQ(::sigaction(SIGUSR1, &action, nullptr), 0);
	const auto b = open_side(name, 1);
	auto count = seen(b);
	int error = -1;
	blocked_thread waiter{[&] { error = wait_signal(b, count, -1); }};
	ASSERT_TRUE(waiter.in(SYS_ioctl));
	waiter.signal(SIGUSR1);
	waiter.join();
	EXPECT_EQ(error, EINTR) << "a restarted wait would begin its time anew";
}

TEST(memory_slots, are_polled_until_the_count_is_taken)
{
	const auto a = open_side(name, 0), b = open_side(name, 1);
	auto count = seen(b);
	EXPECT_EQ(wait_signal(b, count, 0), ETIMEDOUT);
	EXPECT_EQ(ready(b) & POLLIN, 0);
	short reported = 0;
	blocked_thread poller{[&] { reported = await(b, POLLIN); }};
	ASSERT_TRUE(poller.in(poll_call));
	ASSERT_EQ(::ioctl(a.get(), KVMCHAN_IOC_SIGNAL), 0);
	poller.join();
	EXPECT_EQ(reported, POLLIN);
	EXPECT_EQ(ready(b), POLLIN);
	EXPECT_EQ(wait_signal(b, count, 0), 0);
	EXPECT_EQ(ready(b), 0);
}

TEST(memory_slots, hand_a_token_to_and_fro)
{
	constexpr int rounds = 2000;
	const auto a = open_side(name, 0), b = open_side(name, 1);
	const view mine{a}, theirs{b};
	auto count_a = seen(a), count_b = seen(b);
	mine[0] = 0;
	blocked_thread other{[&] {
		for (int i = 0; i < rounds; ++i) {
			if (wait_signal(b, count_b, -1) != 0)
				fail("wait");
			theirs[0] = static_cast<char>(theirs[0] + 1);
			::ioctl(b.get(), KVMCHAN_IOC_SIGNAL);
		}
	}};
	for (int i = 0; i < rounds; ++i) {
		const char before = mine[0];
		::ioctl(a.get(), KVMCHAN_IOC_SIGNAL);
		ASSERT_EQ(wait_signal(a, count_a, -1), 0);
		ASSERT_EQ(mine[0], static_cast<char>(before + 1)) << i;
	}
	other.join();
}

TEST(memory_slots, refuse_bad_pointers)
{
	const auto a = open_side(name, 0);
	EXPECT_EQ(::ioctl(a.get(), KVMCHAN_IOC_WAIT, nullptr), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(::ioctl(a.get(), KVMCHAN_IOC_INFO, reinterpret_cast<void *>(8)), -1);
	EXPECT_EQ(errno, EFAULT);
}

} // namespace
