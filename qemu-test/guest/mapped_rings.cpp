// SPDX-License-Identifier: MIT
/*
 * Rings that a process has mapped: what the driver gives, refuses, wakes and
 * survives. Side 0 has its rings mapped; side 1 is read and written, or mapped.
 */
#include "blocked_thread.hpp"
#include "mapped_end.hpp"

#include <array>
#include <random>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace node;

constexpr std::uint64_t ring_size = 64 << 10; // of "stream" and "packet"

int ioctl_error(const unique_fd &fd, unsigned long what, unsigned long how)
{
	return ::ioctl(fd.get(), what, how) == 0 ? 0 : errno;
}

int take_error(const unique_fd &fd, unsigned long rings)
{
	return ioctl_error(fd, KVMCHAN_IOC_MAP_RINGS, rings);
}

int rings_error(const unique_fd &fd, kvmchan_rings asked)
{
	return ::ioctl(fd.get(), KVMCHAN_IOC_RINGS, &asked) == 0 ? 0 : errno;
}

int map_error(const unique_fd &fd, std::uint64_t offset, std::size_t length, int protection, int flags = MAP_SHARED)
{
	void *at = ::mmap(nullptr, length, protection, flags, fd.get(), static_cast<off_t>(offset));

	if (at == MAP_FAILED)
		return errno;
	::munmap(at, length);
	return 0;
}

constexpr int both = PROT_READ | PROT_WRITE;

TEST(mapped_rings, are_not_there_before_they_are_taken)
{
	const auto fd = open_side("stream", 0);

	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_OWN_INDEX, 4096, both), ENODEV);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX, 4096, both), ENODEV);
	EXPECT_EQ(rings_error(fd, asking(0, 0)), EINVAL);
	EXPECT_EQ(ioctl_error(fd, KVMCHAN_IOC_KICK, KVMCHAN_RING_TX), EINVAL);
	ASSERT_EQ(take_error(fd, KVMCHAN_RING_TX), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX, 4096, both), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_RX, 4096, PROT_READ), EINVAL) << "only the other ring was taken";
	EXPECT_EQ(rings_error(fd, asking(1, 0)), EINVAL);
	EXPECT_EQ(ioctl_error(fd, KVMCHAN_IOC_KICK, KVMCHAN_RING_RX), EINVAL);
}

TEST(mapped_rings, are_taken_only_as_a_whole_channel)
{
	EXPECT_EQ(take_error(open_side("stream", 0, O_RDONLY), KVMCHAN_RING_RX), EACCES);
	EXPECT_EQ(take_error(open_side("stream", 0, O_WRONLY), KVMCHAN_RING_TX), EACCES);
	const auto fd = open_side("stream", 0);
	EXPECT_EQ(take_error(fd, 0), EINVAL);
	EXPECT_EQ(take_error(fd, 4), EINVAL);
	EXPECT_EQ(take_error(fd, 1UL << 32), EINVAL);
	EXPECT_EQ(take_error(fd, 3), 0);
	EXPECT_EQ(take_error(fd, 3), 0) << "again changes nothing";
	EXPECT_EQ(take_error(open_side("block", 0), 1), ENOTTY);
}

TEST(mapped_rings, cannot_be_mapped_beyond_what_they_are)
{
	const auto fd = open_side("asym", 0); // writes 4 KiB, reads 64 KiB

	ASSERT_EQ(take_error(fd, 3), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_OWN_INDEX, 4096, both), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_OWN_INDEX, 8192, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_PEER_INDEX, 8192, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_PEER_INDEX + 4096, 4096, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX, 8192, both), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX, 12288, both), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX + 4096, 8192, both), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX + 8192, 4096, both), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_RX, 128 << 10, PROT_READ), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_RX, (128 << 10) + 4096, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, 3ULL << 32, 4096, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, 1ULL << 62, 4096, PROT_READ), EINVAL);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_TX, 4096, both, MAP_PRIVATE), EINVAL);
}

TEST(mapped_rings, of_the_peer_cannot_be_written)
{
	const auto fd = open_side("stream", 0);

	ASSERT_EQ(take_error(fd, 3), 0);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_PEER_INDEX, 4096, both), EACCES);
	EXPECT_EQ(map_error(fd, KVMCHAN_MMAP_RX, 4096, both), EACCES);
	for (const auto offset : {KVMCHAN_MMAP_PEER_INDEX, KVMCHAN_MMAP_RX}) {
		void *at = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), static_cast<off_t>(offset));
		ASSERT_NE(at, MAP_FAILED);
		EXPECT_EQ(::mprotect(at, 4096, both), -1);
		EXPECT_EQ(errno, EACCES);
		::munmap(at, 4096);
	}
}

TEST(mapped_rings, show_themselves_twice)
{
	mapped_end a{"small", 0};

	for (std::size_t i = 0; i < 4096; ++i)
		a.tx_view()[i] = static_cast<std::byte>(i % 251);
	EXPECT_EQ(std::memcmp(a.tx_view().data(), a.tx_view().data() + 4096, 4096), 0);
	a.tx_view()[4096 + 7] = std::byte{77};
	EXPECT_EQ(a.tx_view()[7], std::byte{77});
}

TEST(mapped_rings, are_not_for_read_and_write)
{
	const auto p = connect("stream");
	const auto was = write(p.b, "before");
	int pipes[2];
	std::string text;

	ASSERT_EQ(was, 6);
	ASSERT_EQ(take_error(p.a, 3), 0);
	EXPECT_EQ(read(p.a, text), -1);
	EXPECT_EQ(errno, EBUSY);
	EXPECT_EQ(write(p.a, "x"), -1);
	EXPECT_EQ(errno, EBUSY);
	ASSERT_EQ(::pipe(pipes), 0);
	const unique_fd out{pipes[0]}, in{pipes[1]};
	EXPECT_EQ(::splice(p.a.get(), nullptr, in.get(), nullptr, 6, 0), -1);
	EXPECT_EQ(errno, EBUSY);
	ASSERT_EQ(::write(in.get(), "x", 1), 1);
	EXPECT_EQ(::splice(out.get(), nullptr, p.a.get(), nullptr, 1, 0), -1);
	EXPECT_EQ(errno, EBUSY);
}

TEST(mapped_rings, end_a_read_that_waits)
{
	const auto p = connect("stream", O_RDWR);
	std::string text;
	ssize_t result = 0;
	int error = 0;
	blocked_thread reader{[&] {
		result = read(p.a, text);
		error = errno;
	}};

	ASSERT_TRUE(reader.in(SYS_read));
	ASSERT_EQ(take_error(p.a, KVMCHAN_RING_RX), 0);
	reader.join();
	EXPECT_EQ(result, -1);
	EXPECT_EQ(error, EBUSY);
}

TEST(mapped_rings, go_on_where_read_and_write_stopped)
{
	auto p = connect("stream");

	write_all(p.a, "abc");
	write_all(p.b, "12345");
	EXPECT_EQ(read_all(p.a, 2), "12");
	mapped_end a{std::move(p.a)};
	EXPECT_EQ(a.read(3), "345");
	a.write("def");
	EXPECT_EQ(read_all(p.b, 6), "abcdef");
	EXPECT_EQ(a.ready(), 0U);
	write_all(p.b, "6");
	EXPECT_EQ(a.read(1), "6");
}

TEST(mapped_rings, carry_bytes_round_their_ends)
{
	auto p = connect("small");
	mapped_end a{std::move(p.a)};

	for (std::size_t i = 0; i < 100; ++i) {
		const auto text = bytes(1 + (i * 1237) % 4096, static_cast<char>('a' + i % 3));
		a.write(text);
		ASSERT_EQ(read_all(p.b, text.size()), text) << i;
		write_all(p.b, text);
		ASSERT_EQ(a.read(text.size()), text) << i;
	}
}

TEST(mapped_rings, stay_where_they_are_when_they_are_taken_again)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	a.write("abc");
	write_all(p.b, "xy");
	EXPECT_EQ(a.read(2), "xy");
	const auto written = kvmchan_load(&a.own().tx_prod), taken = kvmchan_load(&a.own().rx_cons);
	ASSERT_EQ(take_error(a.fd(), 3), 0);
	EXPECT_EQ(kvmchan_load(&a.own().tx_prod), written);
	EXPECT_EQ(kvmchan_load(&a.own().rx_cons), taken);
	a.write("def");
	EXPECT_EQ(read_all(p.b, 6), "abcdef");
}

/* Of a full ring only the peer's reading makes room, and he may want to write first. */
TEST(mapped_rings, are_taken_while_the_other_direction_waits)
{
	const auto p = connect("small", O_RDWR);
	blocked_thread writer{[&] { EXPECT_EQ(write(p.a, bytes(8192)), 8192); }};

	ASSERT_TRUE(writer.in(SYS_write));
	EXPECT_EQ(take_error(p.a, KVMCHAN_RING_RX), 0);
	EXPECT_EQ(read_all(p.b, 8192), bytes(8192));
	writer.join();
}

TEST(mapped_rings, do_not_ring_for_nothing)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	a.write("x");
	ioctl_error(a.fd(), KVMCHAN_IOC_KICK, KVMCHAN_RING_TX);
	const auto rung = counter("stream", 0, "doorbells_sent");
	for (int i = 0; i < 100; ++i)
		EXPECT_EQ(ioctl_error(a.fd(), KVMCHAN_IOC_KICK, 3), 0);
	EXPECT_EQ(counter("stream", 0, "doorbells_sent"), rung);
}

TEST(mapped_rings, are_counted)
{
	const auto written = counter("stream", 0, "tx_bytes"), taken = counter("stream", 0, "rx_bytes");
	{
		auto p = connect("stream");
		mapped_end a{std::move(p.a)};
		a.write("0123456789");
		EXPECT_EQ(counter("stream", 0, "tx_bytes"), written + 10);
		EXPECT_EQ(read_all(p.b, 10), "0123456789");
		write_all(p.b, "abc");
		EXPECT_EQ(a.read(3), "abc");
		EXPECT_EQ(counter("stream", 0, "rx_bytes"), taken + 3);
	}
	EXPECT_EQ(counter("stream", 0, "tx_bytes"), written + 10);
	EXPECT_EQ(counter("stream", 0, "rx_bytes"), taken + 3);
}

TEST(mapped_rings, say_what_is_there)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	EXPECT_EQ(info(a.fd()).tx_space, ring_size);
	a.write(bytes(1000));
	EXPECT_EQ(info(a.fd()).tx_space, ring_size - 1000);
	write_all(p.b, bytes(500));
	ASSERT_TRUE(eventually([&] { return info(a.fd()).rx_ready == 500; }));
	EXPECT_EQ(a.read(200), bytes(200));
	EXPECT_EQ(info(a.fd()).rx_ready, 300U);
}

TEST(mapped_rings, wake_who_waits_for_bytes)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};
	blocked_thread reader{[&] { EXPECT_EQ(a.read(4), "word"); }};

	ASSERT_TRUE(reader.in(SYS_ioctl));
	write_all(p.b, "word");
	reader.join();
}

TEST(mapped_rings, wake_who_waits_for_so_many_bytes)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};
	std::atomic<bool> woken = false;
	blocked_thread reader{[&] {
		const auto r = a.wait(100, 0);
		woken = true;
		EXPECT_TRUE(r.flags & KVMCHAN_RINGS_RX_READY);
		EXPECT_EQ(a.ready(), 100U);
	}};

	ASSERT_TRUE(reader.in(SYS_ioctl));
	write_all(p.b, bytes(99));
	ASSERT_TRUE(reader.in(SYS_ioctl));
	EXPECT_FALSE(woken);
	write_all(p.b, "x");
	reader.join();
}

TEST(mapped_rings, wake_who_waits_for_room)
{
	auto p = connect("small");
	mapped_end a{std::move(p.a)};

	a.write(bytes(4096));
	blocked_thread writer{[&] { a.write("more"); }};
	ASSERT_TRUE(writer.in(SYS_ioctl));
	EXPECT_EQ(read_all(p.b, 4100), bytes(4096) + "more");
	writer.join();
}

TEST(mapped_rings, are_polled_for_what_was_asked_last)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	a.ask(100, ring_size);
	write_all(p.b, bytes(99));
	EXPECT_EQ(ready(a.fd()) & (POLLIN | POLLOUT), POLLOUT);
	write_all(p.b, "x");
	EXPECT_TRUE(await(a.fd(), POLLIN) & POLLIN);
	a.write("y");
	EXPECT_EQ(ready(a.fd()) & (POLLIN | POLLOUT), POLLIN) << "not all of the ring is free";
	EXPECT_EQ(read_all(p.b, 1), "y");
	EXPECT_TRUE(await(a.fd(), POLLOUT) & POLLOUT);
	EXPECT_EQ(a.read(100).size(), 100U);
	EXPECT_EQ(ready(a.fd()) & (POLLIN | POLLOUT), POLLOUT);
}

TEST(mapped_rings, give_up_after_the_time_and_on_signals)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	EXPECT_FALSE(a.wait(1, 0, 0).flags & KVMCHAN_RINGS_RX_READY);
	EXPECT_FALSE(a.wait(1, 0, 1'000'000).flags & KVMCHAN_RINGS_RX_READY);
	EXPECT_EQ(rings_error(a.fd(), asking(ring_size + 1, 0)), ERANGE);
	EXPECT_EQ(rings_error(a.fd(), asking(0, ring_size + 1)), ERANGE);
	auto odd = asking(0, 0);
	odd.reserved = 1;
	EXPECT_EQ(rings_error(a.fd(), odd), EINVAL);
	struct sigaction act {};
	act.sa_handler = [](int) {};
	::sigaction(SIGUSR1, &act, nullptr);
	int error = 0;
	blocked_thread waiter{[&] { error = rings_error(a.fd(), asking(1, 0, -1)); }};
	ASSERT_TRUE(waiter.in(SYS_ioctl));
	waiter.signal(SIGUSR1);
	waiter.join();
	EXPECT_EQ(error, EINTR);
}

TEST(mapped_rings, end_with_the_peer_after_its_last_byte)
{
	auto p = connect("stream");
	mapped_end a{std::move(p.a)};

	write_all(p.b, "last");
	p.b.reset();
	const auto r = a.wait(100, 0);
	EXPECT_TRUE(r.flags & KVMCHAN_RINGS_RX_END);
	EXPECT_TRUE(r.flags & KVMCHAN_RINGS_RX_READY) << "fewer than wanted, but no more will come";
	EXPECT_TRUE(r.flags & KVMCHAN_RINGS_TX_END);
	EXPECT_EQ(a.read(4), "last");
	EXPECT_TRUE(a.wait(1, 0).flags & KVMCHAN_RINGS_RX_END);
	EXPECT_EQ(ioctl_error(a.fd(), KVMCHAN_IOC_KICK, KVMCHAN_RING_TX), EPIPE);
	EXPECT_TRUE(ready(a.fd()) & POLLHUP);
}

TEST(mapped_rings, leave_bytes_for_a_peer_that_comes_later)
{
	settle("stream");
	{
		mapped_end a{"stream", 0};
		a.write("early");
	}
	{
		const auto b = open_side("stream", 1);
		EXPECT_EQ(read_all(b, 5), "early");
		EXPECT_TRUE(at_end(b));
	}
	// The next session begins where that one has stopped.
	const auto p = connect("stream");
	write_all(p.a, "later");
	EXPECT_EQ(read_all(p.b, 5), "later");
}

/* The index must not go back under a reader who has not got them yet. */
TEST(mapped_rings, leave_bytes_that_the_next_session_does_not_spoil)
{
	auto p = connect("stream");
	{
		mapped_end a{std::move(p.a)};
		a.write("old");
	}
	const auto next = open_side("stream", 0);
	EXPECT_EQ(read_all(p.b, 3), "old");
	EXPECT_TRUE(at_end(p.b));
}

TEST(mapped_rings, begin_again_with_a_new_session)
{
	settle("stream");
	mapped_end a{"stream", 0};
	{
		const auto b = open_side("stream", 1);
		a.write("one");
		EXPECT_EQ(read_all(b, 3), "one");
		write_all(b, "eins");
		EXPECT_EQ(a.read(4), "eins");
	}
	ASSERT_EQ(::ioctl(a.fd().get(), KVMCHAN_IOC_RECONNECT), 0);
	a.begin();
	const auto b = open_side("stream", 1);
	a.write("two");
	EXPECT_EQ(read_all(b, 3), "two");
	write_all(b, "zwei");
	EXPECT_EQ(a.read(4), "zwei");
}

TEST(mapped_rings, keep_the_session_until_they_are_unmapped)
{
	settle("stream");
	auto a = std::make_unique<mapped_end>("stream", 0);
	const auto b = open_side("stream", 1);

	a->write("x");
	a->close_only();
	EXPECT_EQ(read_all(b, 1), "x");
	EXPECT_TRUE(eventually([&] { return state(b) == KVMCHAN_STATE_CONNECTED; }));
	a.reset();
	EXPECT_TRUE(at_end(b));
}

TEST(mapped_rings, are_not_inherited)
{
	mapped_end a{"stream", 0};
	const pid_t child = ::fork();

	if (child == 0) {
		::signal(SIGSEGV, SIG_DFL);
		a.tx_view()[0] = std::byte{1};
		::_exit(0);
	}
	int status = 0;
	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
}

/* Both ends mapped, each waits whenever it finds nothing: no wake-up is lost, no byte wrong. */
TEST(mapped_rings, lose_no_wake_up)
{
	settle("small");
	mapped_end a{"small", 0}, b{"small", 1};
	const auto total = amount("mapped_bytes", 8 << 20);
	const auto send = [&](mapped_end &end, unsigned seed) {
		std::mt19937 random{seed};
		std::uint64_t sent = 0;
		while (sent < total) {
			const auto n = std::min<std::uint64_t>(total - sent, 1 + random() % 3000);
			std::string text(n, '\0');
			for (std::size_t i = 0; i < n; ++i)
				text[i] = static_cast<char>((sent + i) * 31 >> 3);
			end.write(text);
			sent += n;
		}
	};
	const auto receive = [&](mapped_end &end, unsigned seed) {
		std::mt19937 random{seed};
		std::uint64_t got = 0;
		while (got < total) {
			const auto text = end.read_some(1 + random() % 3000);
			for (std::size_t i = 0; i < text.size(); ++i)
				ASSERT_EQ(text[i], static_cast<char>((got + i) * 31 >> 3)) << "at " << got + i;
			got += text.size();
		}
	};
	blocked_thread one{[&] { send(a, 1); }}, two{[&] { send(b, 2); }}, three{[&] { receive(a, 3); }};
	receive(b, 4);
	for (auto *t : {&one, &two, &three}) {
		eventually([&] { return t->done(); });
		t->join();
	}
}

/* What a process does to its own indices is its own affair, and ends with it. */
TEST(mapped_rings, are_scribbled_over_in_vain)
{
	std::mt19937_64 random{5};

	for (int round = 0; round < 20; ++round) {
		auto p = connect("small");
		{
			mapped_end a{std::move(p.a)};
			std::atomic<bool> stop = false;
			blocked_thread scribbler{[&] {
				while (!stop) {
					const auto near = a.own().tx_prod;
					const std::uint64_t value = random() % 2 ? random() : near + random() % 9000 - 4500;
					auto *const words = reinterpret_cast<volatile std::uint64_t *>(&a.own());
					words[(random() % 4) * (KVMCHAN_LINE_SIZE / 8)] = value;
				}
			}};
			for (int i = 0; i < 200; ++i) {
				auto r = asking(1 + random() % 4096, 1 + random() % 4096, 1000);
				::ioctl(a.fd().get(), KVMCHAN_IOC_RINGS, &r);
				::ioctl(a.fd().get(), KVMCHAN_IOC_KICK, 1 + random() % 3);
				ready(a.fd());
				info(a.fd());
				char c;
				if (::read(p.b.get(), &c, 1) < 0 && errno == EPROTO)
					break;
			}
			stop = true;
			scribbler.join();
		}
		p.b.reset();
		const auto fresh = connect("small");
		write_all(fresh.a, "fine");
		EXPECT_EQ(read_all(fresh.b, 4), "fine");
		write_all(fresh.b, "too");
		EXPECT_EQ(read_all(fresh.a, 3), "too");
	}
}

} // namespace
