// SPDX-License-Identifier: MIT
// Low-water marks, and what the ioctls refuse.
#include "blocked_thread.hpp"

#include <array>
#include <initializer_list>

#include <sys/mman.h>
#include <sys/syscall.h>

namespace {

using namespace node;

constexpr std::uint64_t ring = 4096;

kvmchan_lowat lowat(const unique_fd &fd)
{
	kvmchan_lowat l{};
	if (::ioctl(fd.get(), KVMCHAN_IOC_GET_LOWAT, &l) != 0)
		fail("KVMCHAN_IOC_GET_LOWAT");
	return l;
}

int set_lowat(const unique_fd &fd, std::uint64_t rx, std::uint64_t tx)
{
	const kvmchan_lowat l{rx, tx};
	return ::ioctl(fd.get(), KVMCHAN_IOC_SET_LOWAT, &l);
}

TEST(file_ioctls, have_low_water_marks_with_bounds)
{
	const auto p = connect("asym");	/* side 0 writes 4 KiB, reads 64 KiB */
	EXPECT_EQ(lowat(p.a).rx, 1U);
	EXPECT_EQ(lowat(p.a).tx, 2048U);
	EXPECT_EQ(set_lowat(p.a, 32768, 2048), 0);
	EXPECT_EQ(lowat(p.a).rx, 32768U);
	EXPECT_EQ(set_lowat(p.a, 1, 1), 0);
	EXPECT_EQ(lowat(p.a).tx, 1U);
	using pair_of_marks = std::array<std::uint64_t, 2>;
	for (const auto &[rx, tx] : {pair_of_marks{0, 1}, pair_of_marks{1, 0}, pair_of_marks{32769, 1},
	                             pair_of_marks{1, 2049}, pair_of_marks{UINT64_MAX, UINT64_MAX}}) {
		EXPECT_EQ(set_lowat(p.a, rx, tx), -1) << rx << ' ' << tx;
		EXPECT_EQ(errno, ERANGE);
	}
	EXPECT_EQ(lowat(p.a).rx, 1U) << "refused marks change nothing";
	EXPECT_EQ(lowat(p.a).tx, 1U);
}

TEST(file_ioctls, forget_low_water_marks_with_the_session)
{
	auto p = connect("small");
	ASSERT_EQ(set_lowat(p.a, 7, 9), 0);
	p.a.reset();
	p.b.reset();
	p.a = open_side("small", 0);
	EXPECT_EQ(lowat(p.a).rx, 1U);
	EXPECT_EQ(lowat(p.a).tx, ring / 2);
}

TEST(file_ioctls, let_poll_report_bytes_from_the_mark_on)
{
	const auto p = connect("small");
	ASSERT_EQ(set_lowat(p.b, 100, 1), 0);
	write_all(p.a, bytes(99));
	EXPECT_TRUE(eventually([&] { return info(p.b).rx_ready == 99; }));
	EXPECT_FALSE(ready(p.b) & POLLIN);
	write_all(p.a, "!");
	EXPECT_TRUE(await(p.b, POLLIN) & POLLIN);
	std::string text;
	EXPECT_EQ(read(p.b, text, 10), 10);
	EXPECT_FALSE(ready(p.b) & POLLIN);
	EXPECT_EQ(read(p.b, text), 90) << "read without waiting gives what is there";
}

TEST(file_ioctls, let_a_reader_sleep_up_to_the_mark)
{
	const auto p = connect("small", nonblocking, O_RDWR);
	ASSERT_EQ(set_lowat(p.b, 1000, 1), 0);
	std::string text;
	blocked_thread reader{[&] { read(p.b, text); }};
	ASSERT_TRUE(reader.in(SYS_read));
	for (int i = 0; i < 10; ++i) {
		EXPECT_FALSE(reader.done());
		write_all(p.a, bytes(100));
	}
	reader.join();
	EXPECT_EQ(text.size(), 1000U);
}

TEST(file_ioctls, do_not_let_a_mark_hide_the_end)
{
	auto p = connect("small");
	ASSERT_EQ(set_lowat(p.b, 1000, 1), 0);
	write_all(p.a, "few");
	p.a.reset();
	EXPECT_TRUE(await(p.b, POLLIN) & POLLIN);
	set_blocking(p.b, true);
	EXPECT_EQ(read_all(p.b, 100), "few");
}

TEST(file_ioctls, let_poll_report_room_from_the_mark_on)
{
	const auto p = connect("small");
	ASSERT_EQ(set_lowat(p.a, 1, 1000), 0);
	write_all(p.a, bytes(ring));
	EXPECT_FALSE(ready(p.a) & POLLOUT);
	read_all(p.b, 999);
	EXPECT_TRUE(eventually([&] { return info(p.a).tx_space == 999; }));
	EXPECT_FALSE(ready(p.a) & POLLOUT);
	read_all(p.b, 1);
	EXPECT_TRUE(await(p.a, POLLOUT) & POLLOUT);
}

TEST(file_ioctls, wake_who_sleeps_for_a_mark_that_is_lowered)
{
	const auto p = connect("small", nonblocking, O_RDWR);
	ASSERT_EQ(set_lowat(p.b, 1000, 1), 0);
	write_all(p.a, "ten bytes.");
	std::string text;
	blocked_thread reader{[&] { read(p.b, text); }};
	ASSERT_TRUE(reader.in(SYS_read));
	ASSERT_EQ(set_lowat(p.b, 10, 1), 0);
	reader.join();
	EXPECT_EQ(text, "ten bytes.");
}

/* The marks of both ends together may not put both to sleep. */
TEST(file_ioctls, have_marks_that_cannot_deadlock)
{
	const auto p = connect("small", O_RDWR, O_RDWR);
	ASSERT_EQ(set_lowat(p.a, ring / 2, ring / 2), 0);
	ASSERT_EQ(set_lowat(p.b, ring / 2, ring / 2), 0);
	const auto sent = bytes(100 * ring);
	blocked_thread writer{[&] { EXPECT_EQ(write(p.a, sent), static_cast<ssize_t>(sent.size())); }};
	std::string got, text;
	while (got.size() < sent.size() && read(p.b, text) > 0)
		got += text;
	writer.join();
	EXPECT_EQ(got, sent);
}

TEST(file_ioctls, refuse_what_a_channel_does_not_know)
{
	const auto fd = open_side("stream", 0);
	alignas(8) char argument[4096] = {};
	for (const unsigned long request :
	     {static_cast<unsigned long>(_IO(KVMCHAN_IOC_MAGIC, 0xcf)), static_cast<unsigned long>(_IO('Z', 0xc0)),
	      static_cast<unsigned long>(_IOR(KVMCHAN_IOC_MAGIC, 0xc0, char[4000])),
	      static_cast<unsigned long>(_IOR(KVMCHAN_IOC_MAGIC, 0xc0, char[8])),
	      static_cast<unsigned long>(_IOWR(KVMCHAN_IOC_MAGIC, 0xc1, std::uint32_t)),
	      static_cast<unsigned long>(TIOCOUTQ), static_cast<unsigned long>(KVMCHAN_IOC_SIGNAL),
	      static_cast<unsigned long>(KVMCHAN_IOC_WAIT), 0xffffffffUL}) {
		EXPECT_EQ(::ioctl(fd.get(), request, argument), -1) << std::hex << request;
		EXPECT_EQ(errno, ENOTTY) << std::hex << request;
	}
}

TEST(file_ioctls, refuse_bad_pointers)
{
	const auto fd = open_side("stream", 0);
	void *const read_only = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(read_only, MAP_FAILED);
	void *const past_the_end = MAP_FAILED; /* the highest address */
	for (const unsigned long request :
	     {static_cast<unsigned long>(KVMCHAN_IOC_INFO), static_cast<unsigned long>(KVMCHAN_IOC_GET_LOWAT),
	      static_cast<unsigned long>(KVMCHAN_IOC_SPACE), static_cast<unsigned long>(FIONREAD)}) {
		for (void *const bad : {static_cast<void *>(nullptr), past_the_end, read_only}) {
			EXPECT_EQ(::ioctl(fd.get(), request, bad), -1);
			EXPECT_EQ(errno, EFAULT);
		}
	}
	EXPECT_EQ(::ioctl(fd.get(), KVMCHAN_IOC_SET_LOWAT, nullptr), -1);
	EXPECT_EQ(errno, EFAULT);
	::munmap(read_only, 4096);
	EXPECT_EQ(lowat(fd).rx, 1U);
}

TEST(file_ioctls, switch_blocking_on_and_off)
{
	const auto p = connect("stream", O_RDWR, O_RDWR);
	int on = 1;
	ASSERT_EQ(::ioctl(p.b.get(), FIONBIO, &on), 0);
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EAGAIN);
}

} // namespace
