// SPDX-License-Identifier: MIT
// Channels whose ends are clients of a server: doorbells, no polling, and
// deaths that are noticed.
#include <fstream>
#include <functional>
#include <optional>
#include <thread>

#include <poll.h>

#include <gtest/gtest.h>

#include "channel_mover.hpp"
#include "ivshmem_client.hpp"
#include "server_fixture.hpp"
#include "server_process.hpp"

namespace kvmchan::test {
namespace {

using kvmchan::testing::eventually;
using kvmchan::testing::process;
using kvmchan::testing::server_test;

constexpr auto stream = channel_mode::stream, packet = channel_mode::packet;

class doorbell_test : public server_test {
protected:
	void start(channel_mode mode = stream, std::uint64_t ring = 4096, unsigned vectors = 4, unsigned channels = 1)
	{
		region_.size = 32U << 20;
		region_.vectors = vectors;
		for (unsigned i = 0; i < channels; ++i) {
			slot_config slot = server_test::channel("c" + std::to_string(i), "host", "host");

			slot.spec.mode = static_cast<kvmchan_mode>(mode);
			slot.spec.size = {ring, ring};
			region_.slots.push_back(slot);
		}
		server_test::start();
	}

	region attach() const { return region::attach(region_.socket); }

	kvmchan::channel end(unsigned side, bool non_blocking = false, const std::string &name = "c0") const
	{
		channel_options options;

		options.side = side;
		options.non_blocking = non_blocking;
		return kvmchan::channel{attach(), name, options};
	}

	std::string end_name(const std::string &name = "c0") const { return region_.socket.string() + ":" + name; }
};

class channel_doorbell : public doorbell_test, public ::testing::WithParamInterface<transfer> {};

TEST_P(channel_doorbell, transfer_without_polling)
{
	const transfer &what = GetParam();

	start(what.mode, what.ring);
	kvmchan::channel a = end(0), b = end(1);
	std::thread writer{[&] { what.write(a, 7); }};

	EXPECT_EQ(what.read(b, 7), what.total);
	writer.join();
	EXPECT_GT(a.counters().doorbells_sent, 0U);
	EXPECT_GT(b.counters().interrupts + b.counters().doorbells_sent, 0U);
}

constexpr std::size_t some = 2'000'000, many = 40'000'000;

INSTANTIATE_TEST_SUITE_P(
	all, channel_doorbell,
	::testing::Values(transfer{stream, 4096, how::blocking, some}, transfer{stream, 4096, how::level_triggered, some},
                        transfer{stream, 4096, how::edge_triggered, some}, transfer{packet, 4096, how::blocking, some},
                        transfer{packet, 4096, how::edge_triggered, some},
                        transfer{stream, 4U << 20, how::blocking, many},
                        transfer{stream, 4U << 20, how::edge_triggered, many},
                        transfer{packet, 4U << 20, how::edge_triggered, many},
                        transfer{stream, 4096, how::blocking, some, calls::windows},
                        transfer{stream, 4096, how::edge_triggered, some, calls::windows},
                        transfer{packet, 4096, how::blocking, some, calls::windows},
                        transfer{packet, 4096, how::edge_triggered, some, calls::batches}),
	[](const auto &p) { return p.param.name(); });

TEST_F(doorbell_test, a_sleeper_is_not_polling)
{
	start();
	kvmchan::channel a = end(0), b = end(1);

	a.write_all(as_bytes("x"));
	EXPECT_EQ(read_text(b), "x");
	EXPECT_EQ(a.state(), link_state::connected);
	EXPECT_EQ(b.state(), link_state::connected);
	b.wait_for(event::readable, std::chrono::milliseconds{100});
	const std::uint64_t before = b.counters().interrupts;

	b.wait_for(event::readable, std::chrono::milliseconds{300});
	EXPECT_EQ(b.counters().interrupts, before);
}

class looking_test : public doorbell_test {
protected:
	/* Both ends, connected: the rings that begin a session are behind us. */
	void connect(std::chrono::nanoseconds busy_poll, bool non_blocking)
	{
		channel_options options;

		start();
		options.side = 1;
		options.busy_poll = busy_poll;
		a_.emplace(end(0));
		b_.emplace(attach(), "c0", options);
		a_->write_all(as_bytes("x"));
		EXPECT_EQ(read_text(*b_), "x");
		EXPECT_EQ(a_->state(), link_state::connected);
		EXPECT_EQ(b_->state(), link_state::connected);
		b_->non_blocking(non_blocking);
		before_ = a_->counters().doorbells_sent;
	}

	/* A byte comes while @p call mostly looks already. */
	void write_during(const std::function<void()> &call)
	{
		std::thread looker{call};

		std::this_thread::sleep_for(std::chrono::milliseconds{50});
		a_->write_all(as_bytes("y"));
		looker.join();
	}

	std::uint64_t rings() const { return a_->counters().doorbells_sent - before_; }

	std::optional<kvmchan::channel> a_, b_;
	std::uint64_t before_ = 0;
};

/* It has not asked for it. */
TEST_F(looking_test, a_reader_that_looks_is_not_rung)
{
	connect(std::chrono::hours{1}, false);
	write_during([&] { EXPECT_EQ(read_text(*b_), "y"); });
	EXPECT_EQ(rings(), 0U);
	EXPECT_EQ(b_->counters().empty_interrupts, 0U);
}

/* However the end is set. */
TEST_F(looking_test, who_waits_for_an_event_looks_too)
{
	connect(std::chrono::hours{1}, true);
	write_during([&] { EXPECT_EQ(b_->wait_for(event::readable, std::chrono::hours{1}), event::readable); });
	EXPECT_EQ(rings(), 0U);
}

TEST_F(looking_test, who_waits_for_an_event_does_so_for_no_longer)
{
	connect(std::chrono::hours{1}, false);
	EXPECT_EQ(b_->wait_for(event::readable, std::chrono::milliseconds{20}), event::none);
}

TEST_F(looking_test, a_reader_of_an_event_loop_with_others_does_not)
{
	connect(std::chrono::hours{1}, true);
	EXPECT_GE(b_->native_handle(), 0);
	EXPECT_GE(a_->native_handle(), 0);
	std::error_code ec;
	std::byte buffer[16];

	b_->read_some(buffer, ec);
	EXPECT_EQ(ec, std::errc::operation_would_block);
}

/* Its loop has no other channel to go to: those of the test before are gone. */
TEST_F(looking_test, a_lone_reader_of_an_event_loop_looks)
{
	connect(std::chrono::hours{1}, true);
	EXPECT_GE(b_->native_handle(), 0);
	write_during([&] { EXPECT_EQ(read_text(*b_), "y"); });
	EXPECT_EQ(rings(), 0U);
}

/* At once: a call that must not wait does not look again. */
TEST_F(looking_test, a_reader_that_gave_up_is_rung_once)
{
	connect(std::chrono::hours{1}, true);
	std::error_code ec;
	std::byte buffer[16];

	b_->read_some(buffer, ec);
	EXPECT_EQ(ec, std::errc::operation_would_block);
	a_->write_all(as_bytes("y"));
	EXPECT_EQ(rings(), 1U);
	a_->write_all(as_bytes("z"));
	EXPECT_EQ(rings(), 1U);
	EXPECT_EQ(b_->read_some(buffer, ec), 2U);
}

/* Not at each read of a peer that is slower. */
class room_test : public doorbell_test, public ::testing::WithParamInterface<channel_mode> {};

TEST_P(room_test, a_writer_is_rung_once_half_of_the_ring_is_free)
{
	start(GetParam());
	kvmchan::channel a = end(0, true), b = end(1, true);
	std::array<std::byte, 56> piece{}; /* with a record's head, 64 */
	std::error_code ec;
	unsigned pieces = 0;

	a.write_some(piece, ec);
	b.read_some(piece, ec);
	EXPECT_EQ(a.state(), link_state::connected);
	EXPECT_EQ(b.state(), link_state::connected);
	while (a.write_some(piece, ec) == piece.size())
		++pieces;
	a.write_some(piece, ec);
	EXPECT_EQ(ec, std::errc::operation_would_block);
	const std::uint64_t before = b.counters().doorbells_sent;

	for (unsigned i = 1; i <= pieces; ++i) {
		EXPECT_EQ(b.read_some(piece, ec), piece.size());
		if (i == pieces / 2 - 2) {
			EXPECT_EQ(b.counters().doorbells_sent, before);
		}
	}
	EXPECT_EQ(b.counters().doorbells_sent, before + 1);
	EXPECT_EQ(a.write_some(piece, ec), piece.size());
}

INSTANTIATE_TEST_SUITE_P(all, room_test, ::testing::Values(stream, packet));

TEST_F(doorbell_test, peers_know_each_other)
{
	start();
	kvmchan::channel a = end(0), b = end(1);

	EXPECT_TRUE(a.peer());
	EXPECT_TRUE(b.peer());
	EXPECT_NE(a.peer(), b.peer());
}

/* Channels in one process share their vector; nobody takes another's wake-up. */
TEST_F(doorbell_test, many_channels_on_one_vector)
{
	start(stream, 4096, 1, 6);
	const region here = attach(), there = attach();
	std::vector<std::thread> threads;
	std::array<std::size_t, 6> got{};
	const transfer what{stream, 4096, how::blocking, 300'000};

	for (unsigned i = 0; i < got.size(); ++i) {
		threads.emplace_back([&, i] {
			channel_options options;

			options.side = 0;
			kvmchan::channel a{here, "c" + std::to_string(i), options};
			what.write(a, i);
		});
		threads.emplace_back([&, i] {
			channel_options options;

			options.side = 1;
			kvmchan::channel b{there, "c" + std::to_string(i), options};
			got[i] = what.read(b, i);
		});
	}
	for (std::thread &thread : threads)
		thread.join();
	for (const std::size_t n : got)
		EXPECT_EQ(n, what.total);
}

/* A hostile peer fills the counter: no further ring would be an edge. */
TEST_F(doorbell_test, a_saturated_doorbell)
{
	start();
	kvmchan::channel a = end(0), b = end(1, true);
	std::error_code ec;
	std::byte buffer[16];

	a.write_all(as_bytes("x"));
	EXPECT_EQ(read_text(b), "x");
	EXPECT_EQ(a.state(), link_state::connected);
	ivshmem_client evil = ivshmem_client::connect(region_.socket, kvmchan::testing::patience);

	const auto peer = *a.peer();
	ASSERT_TRUE(eventually([&] {
		evil.pump(nullptr, ec);
		return evil.vectors(peer) == 4;
	}));
	pollfd ready{b.native_handle(), POLLIN, 0};

	for (int round = 0; round < 3; ++round) {
		for (std::size_t vector = 0; vector < 4; ++vector) {
			const std::uint64_t much = ~std::uint64_t{0} - 1;
			const int fd = evil.vector_fd(peer, vector);
			std::uint64_t old;

			[[maybe_unused]] ssize_t n = ::read(fd, &old, sizeof(old));
			n = ::write(fd, &much, sizeof(much));
		}
		b.read_some(buffer, ec);
		EXPECT_EQ(ec, std::errc::operation_would_block);
		while (::poll(&ready, 1, 50) > 0) {
			b.read_some(buffer, ec);
			EXPECT_EQ(ec, std::errc::operation_would_block);
		}
		a.write_all(as_bytes("y"));
		EXPECT_EQ(::poll(&ready, 1, 10'000), 1) << "the ring got through";
		EXPECT_EQ(b.read_some(buffer, ec), 1U);
	}
}

TEST_F(doorbell_test, killed_peers_are_an_end)
{
	start();
	for (int round = 0; round < 5; ++round) {
		kvmchan::channel a = end(0);
		const auto output = directory_ / ("out" + std::to_string(round));
		process child{{KVMCHAN_TOOL, "connect", "--read-only", "--side", "1", end_name()}, output};
		std::thread killer{[&] {
			eventually([&] { return std::filesystem::exists(output) && std::filesystem::file_size(output) > 0; });
			child.signal(SIGKILL);
		}};
		std::error_code ec;
		const std::vector<std::byte> block(1000);

		while (!ec)
			a.write_some(block, ec);
		EXPECT_EQ(ec, std::errc::broken_pipe);
		killer.join();
		EXPECT_EQ(child.wait(), 128 + SIGKILL);
		EXPECT_EQ(read_text(a), "");
		EXPECT_EQ(a.state(), link_state::disconnected);
	}
}

TEST_F(doorbell_test, what_a_killed_peer_wrote_is_read)
{
	start();
	std::ofstream{directory_ / "in"} << "the last words";
	const std::string command = std::string{KVMCHAN_TOOL} + " connect --side 1 " + end_name() + " <" +
	                            (directory_ / "in").string();
	kvmchan::channel a = end(0);
	process child{{"/bin/sh", "-c", "exec " + command}, directory_ / "out"};

	EXPECT_EQ(read_text(a), "the last words");
	child.signal(SIGKILL);
	child.wait();
	EXPECT_EQ(read_text(a), "");
}

TEST_F(doorbell_test, a_channel_that_is_removed)
{
	start();
	kvmchan::channel a = end(0), b = end(1);
	std::thread reader{[&] {
		std::error_code ec;
		std::byte buffer[1];

		b.read_some(buffer, ec);
		EXPECT_EQ(ec, std::errc::no_such_device);
	}};

	EXPECT_TRUE(ask({{"cmd", "remove"}, {"name", "c0"}}).at("ok").get<bool>());
	reader.join();
	std::error_code ec;

	a.write_some(as_bytes("x"), ec);
	EXPECT_EQ(ec, std::errc::no_such_device);
	a.reconnect(ec);
	EXPECT_EQ(ec, std::errc::no_such_device);
}

TEST_F(doorbell_test, a_channel_outlives_its_server)
{
	start();
	kvmchan::channel a = end(0), b = end(1);

	a.write_all(as_bytes("before"));
	EXPECT_EQ(read_text(b), "before");
	stop();
	a.write_all(as_bytes("after"));
	EXPECT_EQ(read_text(b), "after");
}

TEST_F(doorbell_test, peers_that_come_later_can_be_rung)
{
	start();
	kvmchan::channel a = end(0);
	std::thread reader{[&] { EXPECT_EQ(read_text(a), "late"); }};

	for (int i = 0; i < 40; ++i)
		attach();
	kvmchan::channel b = end(1);
	b.write_all(as_bytes("late"));
	reader.join();
	std::thread again{[&] { EXPECT_EQ(read_text(b), "back"); }};
	a.write_all(as_bytes("back"));
	again.join();
}

} // namespace
} // namespace kvmchan::test
