// SPDX-License-Identifier: MIT
// Buffers that are not there, or only in part: nothing is lost, nothing sent.
#include "blocked_thread.hpp"

#include <atomic>
#include <thread>

#include <linux/userfaultfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace {

using namespace node;

constexpr std::size_t page = 4096;

/* Pages with a hole of one page behind them. */
class cliff {
public:
	explicit cliff(std::size_t pages = 1, int protection = PROT_NONE) : pages_{pages}
	{
		void *at = ::mmap(nullptr, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			fail("mmap");
		start_ = static_cast<char *>(at);
		::mprotect(edge(), page, protection);
	}
	cliff(const cliff &) = delete;
	cliff &operator=(const cliff &) = delete;
	~cliff() { ::munmap(start_, (pages_ + 1) * page); }

	char *edge() const { return start_ + pages_ * page; }

private:
	std::size_t pages_;
	char *start_ = nullptr;
};

/* A null pointer that the compiler does not see through. */
char *nowhere()
{
	static char *volatile pointer = nullptr;
	return pointer;
}

TEST(file_faults, in_a_write_send_nothing)
{
	for (const char *name : {"small", "packet4k"}) {
		const auto p = connect(name);
		const cliff c;
		EXPECT_EQ(::write(p.a.get(), c.edge(), 100), -1);
		EXPECT_EQ(errno, EFAULT);
		EXPECT_EQ(::write(p.a.get(), nowhere(), 100), -1);
		EXPECT_EQ(errno, EFAULT);
		EXPECT_EQ(info(p.b).rx_ready, 0U);
		write_all(p.a, "works on");
		EXPECT_EQ(read_all(p.b, 8), "works on");
	}
}

TEST(file_faults, in_a_read_lose_nothing)
{
	for (const char *name : {"small", "packet4k"}) {
		const auto p = connect(name);
		const cliff hole, read_only{1, PROT_READ};
		write_all(p.a, "precious");
		for (char *bad : {hole.edge(), read_only.edge(), nowhere()}) {
			EXPECT_EQ(::read(p.b.get(), bad, 100), -1);
			EXPECT_EQ(errno, EFAULT);
		}
		EXPECT_EQ(read_all(p.b, 8), "precious");
	}
}

TEST(file_faults, half_way_through_a_stream_write_send_the_first_half)
{
	const auto p = connect("small");
	const cliff c;
	std::memcpy(c.edge() - 100, bytes(100).data(), 100);
	const auto n = ::write(p.a.get(), c.edge() - 100, 200);
	ASSERT_GT(n, 0);
	ASSERT_LE(n, 100);
	EXPECT_EQ(info(p.b).rx_ready, static_cast<std::uint64_t>(n));
	EXPECT_EQ(read_all(p.b, static_cast<std::size_t>(n)), bytes(100).substr(0, static_cast<std::size_t>(n)));
}

TEST(file_faults, half_way_through_a_stream_read_keep_the_second_half)
{
	const auto p = connect("small");
	const cliff c;
	write_all(p.a, bytes(200));
	ASSERT_TRUE(await(p.b, POLLIN));
	const auto n = ::read(p.b.get(), c.edge() - 100, 200);
	ASSERT_GT(n, 0);
	ASSERT_LE(n, 100);
	const auto first = std::string(c.edge() - 100, static_cast<std::size_t>(n));
	EXPECT_EQ(first + read_all(p.b, 200 - first.size()), bytes(200));
}

TEST(file_faults, half_way_through_a_record_are_as_if_nothing_happened)
{
	const auto p = connect("packet4k");
	const cliff c;
	EXPECT_EQ(::write(p.a.get(), c.edge() - 100, 200), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(info(p.a).tx_space, 4096U);
	write_all(p.a, bytes(200));
	ASSERT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(::read(p.b.get(), c.edge() - 100, 200), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(::read(p.b.get(), c.edge() - 100, 100), 100) << "cut before the cliff it fits";
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EAGAIN);
}

TEST(file_faults, of_memory_that_comes_on_demand_do_not_show)
{
	constexpr std::size_t length = 6 << 20;
	const auto p = connect("small", O_RDWR, O_RDWR);
	const cliff from{length / page}, to{length / page};
	char *const source = from.edge() - length, *const target = to.edge() - length;
	for (std::size_t i = 0; i < length; i += 3 * page)
		source[i] = static_cast<char>(i / page);
	blocked_thread writer{[&] {
		EXPECT_EQ(::write(p.a.get(), source, length), static_cast<ssize_t>(length));
	}};
	for (std::size_t done = 0; done < length;) {
		const auto n = ::read(p.b.get(), target + done, length - done);
		ASSERT_GT(n, 0);
		done += static_cast<std::size_t>(n);
	}
	writer.join();
	EXPECT_EQ(std::memcmp(source, target, length), 0);
}

/* Somebody takes the pages away while they are in use. */
TEST(file_faults, of_pages_that_vanish_all_the_time_do_not_show)
{
	constexpr std::size_t length = 64 * page;
	const auto p = connect("small", O_RDWR, O_RDWR);
	const unique_fd memory{::memfd_create("vanishing", MFD_CLOEXEC)};
	ASSERT_EQ(::ftruncate(memory.get(), length), 0);
	void *const at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
	ASSERT_NE(at, MAP_FAILED);
	char *const target = static_cast<char *>(at);
	std::atomic<bool> stop = false;
	std::thread thief{[&] {
		// The bytes stay in the file, the page table entries go.
		while (!stop) {
			::madvise(target, length, MADV_DONTNEED);
			std::this_thread::sleep_for(200us);
		}
	}};
	const auto sent = bytes(length);
	for (int round = 0; round < 6; ++round) {
		std::memset(target, 0, length);
		blocked_thread writer{[&] { write(p.a, sent); }};
		for (std::size_t done = 0; done < length;) {
			const auto n = ::read(p.b.get(), target + done, length - done);
			if (n <= 0)
				give_up(std::strerror(errno));
			done += static_cast<std::size_t>(n);
		}
		writer.join();
		EXPECT_EQ(std::memcmp(sent.data(), target, length), 0);
	}
	stop = true;
	thief.join();
	::munmap(at, length);
}

/* The page comes when another thread says so; until then only this reader waits. */
TEST(file_faults, that_user_space_resolves_hold_up_nobody_else)
{
	const auto p = connect("small", O_RDWR, O_RDWR);
	const cliff c;
	char *const target = c.edge() - page;
	unique_fd uffd{static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))};
	ASSERT_TRUE(uffd) << std::strerror(errno);
	uffdio_api api{UFFD_API, 0, 0};
	ASSERT_EQ(::ioctl(uffd.get(), UFFDIO_API, &api), 0);
	uffdio_register range{{reinterpret_cast<std::uintptr_t>(target), page}, UFFDIO_REGISTER_MODE_MISSING, 0};
	ASSERT_EQ(::ioctl(uffd.get(), UFFDIO_REGISTER, &range), 0);
	write_all(p.a, "through");
	ssize_t n = 0;
	blocked_thread reader{[&] { n = ::read(p.b.get(), target, 100); }};
	ASSERT_TRUE(await(uffd, POLLIN) & POLLIN) << "the reader asks for the page";
	write_all(p.b, "the other way is free");
	EXPECT_EQ(read_all(p.a, 21), "the other way is free");
	EXPECT_FALSE(reader.done());
	uffdio_zeropage zero{range.range, 0, 0};
	ASSERT_EQ(::ioctl(uffd.get(), UFFDIO_ZEROPAGE, &zero), 0);
	reader.join();
	EXPECT_EQ(n, 7);
	EXPECT_EQ(std::string(target, 7), "through");
}

/* A block of the same region as the buffer. */
TEST(file_faults, of_a_mapped_block_are_resolved_too)
{
	const auto p = connect("stream");
	const auto block = open_side("block", 0), other = open_side("block", 1);
	constexpr std::size_t length = 65536;
	const auto map = [&](const unique_fd &fd) {
		void *at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
		if (at == MAP_FAILED)
			fail("mmap");
		return static_cast<char *>(at);
	};
	char *const mine = map(block), *const theirs = map(other);
	const auto sent = bytes(length);
	write_all(p.a, sent);
	ASSERT_TRUE(await(p.b, POLLIN));
	EXPECT_EQ(::read(p.b.get(), mine, length), static_cast<ssize_t>(length));
	EXPECT_EQ(std::memcmp(theirs, sent.data(), length), 0);
	EXPECT_EQ(::write(p.b.get(), theirs, length), static_cast<ssize_t>(length));
	EXPECT_EQ(read_all(p.a, length), sent);
	::munmap(mine, length);
	::munmap(theirs, length);
}

} // namespace
