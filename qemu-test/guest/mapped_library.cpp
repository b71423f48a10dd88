// SPDX-License-Identifier: MIT
/*
 * libkvmchan's windows in a guest: the same transfers, by the same code, as on
 * the host, with rings that the driver has given away below.
 */
#include "raw_region.hpp"

#include "../../userlib/tests/channel_mover.hpp"
#include "../../userlib/tests/window_calls.hpp"

#include <poll.h>

#include <algorithm>
#include <thread>

namespace {

using namespace kvmchan::test;
using namespace std::chrono_literals;
using kvmchan::channel;
using kvmchan::event;
using kvmchan::link_state;

channel open(std::string_view name, unsigned side, bool non_blocking = false)
{
	return channel{node::device(name, side), {.non_blocking = non_blocking}};
}

std::span<const std::byte> raw_bytes(const std::string &text)
{
	return kvmchan::test::as_bytes(text);
}

/* By which calls each end goes: a mapped end and one that is not go together. */
struct pairing {
	calls out;
	calls in;
};

class mapped_transfer : public testing::TestWithParam<std::tuple<const char *, how, pairing>> {};

TEST_P(mapped_transfer, between_both_sides)
{
	const auto [name, way, by] = GetParam();
	channel a = open(name, 0), b = open(name, 1);
	const auto total = node::amount("LIBRARY_BYTES", 1'000'000);
	if (a.mode() == kvmchan::channel_mode::stream && (by.out == calls::batches || by.in == calls::batches))
		GTEST_SKIP() << "of records only";
	const transfer out{a.mode(), a.info().tx_size, way, total, by.out};
	const transfer in{a.mode(), a.info().tx_size, way, total, by.in};
	std::thread writer{[&] { out.write(a, 7); }};
	EXPECT_EQ(in.read(b, 7), total);
	writer.join();
	EXPECT_GE(a.counters().tx_bytes, total);
	EXPECT_GE(b.counters().rx_bytes, total);
}

INSTANTIATE_TEST_SUITE_P(all, mapped_transfer,
                         testing::Combine(testing::Values("small", "packet4k"),
                                          testing::Values(how::blocking, how::level_triggered, how::edge_triggered),
                                          testing::Values(pairing{calls::windows, calls::windows},
                                                          pairing{calls::copies, calls::windows},
                                                          pairing{calls::windows, calls::copies},
                                                          pairing{calls::batches, calls::batches})));

TEST(mapped_library, both_ways_at_once)
{
	channel a = open("small", 0), b = open("small", 1);
	const transfer what{a.mode(), a.info().tx_size, how::blocking, node::amount("LIBRARY_BYTES", 500'000),
	                    calls::windows};
	std::size_t at_a = 0;
	std::thread ab{[&] { what.write(a, 7); }}, ba{[&] { what.write(b, 8); }};
	std::thread reader{[&] { at_a = what.read(a, 8); }};
	EXPECT_EQ(what.read(b, 7), what.total);
	ab.join();
	ba.join();
	reader.join();
	EXPECT_EQ(at_a, what.total);
}

TEST(mapped_library, a_window_is_in_one_piece)
{
	channel a = open("small", 0), b = open("small", 1);
	constexpr std::size_t ring = 4096;
	byte_stream out{1}, in{1};
	for (std::size_t step = 0; step < 500; ++step) {
		const std::size_t size = 1 + step * 37 % ring;
		a.reserve();
		const auto to = a.reserve();
		ASSERT_EQ(to.size(), ring);
		out.fill(to.first(size));
		a.commit(size);
		const auto from = b.peek();
		ASSERT_EQ(from.size(), size);
		for (const std::byte one : from)
			ASSERT_EQ(one, in.next()) << step;
		b.consume(size);
	}
}

/* What was read and written before stays so; what comes later goes by the ring. */
TEST(mapped_library, copies_before_and_after)
{
	channel a = open("stream", 0), b = open("stream", 1);
	a.write_all(raw_bytes("before "));
	EXPECT_EQ(read_text(b, 3), "bef");
	put_text(a, "window ");
	EXPECT_EQ(to_text(b.peek()), "ore window ");
	b.consume(4);
	a.write_all(raw_bytes("after"));
	EXPECT_EQ(read_text(b, 3), "win");
	EXPECT_EQ(take_text(b), "dow after");
	put_text(b, "back");
	EXPECT_EQ(read_text(a), "back") << "this direction is not mapped here";
}

TEST(mapped_library, the_node_does_not_move_a_mapped_ring)
{
	channel a = open("stream", 0), b = open("stream", 1);
	char c = 0;
	put_text(a, "xy");
	EXPECT_EQ(::write(a.device_handle(), "z", 1), -1);
	EXPECT_EQ(errno, EBUSY);
	EXPECT_EQ(::read(b.device_handle(), &c, 1), 1) << "it is not mapped here";
	EXPECT_EQ(take_text(b), "y");
	EXPECT_EQ(::read(b.device_handle(), &c, 1), -1);
	EXPECT_EQ(errno, EBUSY);
}

TEST(mapped_library, needs_both_directions)
{
	channel a{node::device("stream", 0), {.read = false}};
	EXPECT_EQ(reserve_error(a), std::errc::permission_denied);
	EXPECT_NO_THROW(a.write_all(raw_bytes("x"))) << "it goes on as before";
}

TEST(mapped_library, amounts_that_can_never_be_had)
{
	channel a = open("small", 0, true), b = open("small", 1, true);
	EXPECT_EQ(a.reserve(4096).size(), 4096U);
	EXPECT_EQ(reserve_error(a, 4097), std::errc::result_out_of_range);
	a.commit(2048);
	EXPECT_EQ(reserve_error(a, 2049), std::errc::result_out_of_range);
	a.reserve();
	a.commit(1);
	EXPECT_EQ(reserve_error(a, 2048), std::errc::operation_would_block);
	EXPECT_EQ(b.peek(2049).size(), 2049U);
	b.consume(2);
	EXPECT_EQ(peek_error(b, 2048), std::errc::operation_would_block);
	EXPECT_EQ(peek_error(b, 2049), std::errc::result_out_of_range);
	a.shutdown_write();
	EXPECT_EQ(b.peek(2048).size(), 2047U) << "that is all";
}

TEST(mapped_library, sleepers_are_woken)
{
	channel a = open("small", 0), b = open("small", 1);
	std::thread reader{[&] { EXPECT_EQ(b.peek(100).size(), 100U); }};
	for (int i = 0; i < 100; ++i) {
		if (i % 50 == 0)
			std::this_thread::sleep_for(20ms);
		put_text(a, "x");
	}
	reader.join();
	a.reserve();
	a.commit(a.reserve().size());
	std::thread writer{[&] { EXPECT_GE(a.reserve(2048).size(), 2048U); }};
	std::this_thread::sleep_for(20ms);
	while (b.peek().size() > 2048)
		b.consume(50);
	b.consume(b.peek().size());
	writer.join();
}

TEST(mapped_library, waits_for_what_was_asked_for)
{
	channel a = open("small", 0, true), b = open("small", 1, true);
	EXPECT_EQ(peek_error(b, 100), std::errc::operation_would_block);
	put_text(a, std::string(99, 'x'));
	EXPECT_EQ(b.wait_for(event::readable, 50ms), event::none);
	put_text(a, "x");
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	b.peek();
	b.consume(100);
	EXPECT_EQ(peek_error(b), std::errc::operation_would_block);
	EXPECT_EQ(b.wait_for(event::readable, 50ms), event::none);
	EXPECT_EQ(a.wait_for(event::writable), event::writable);
	a.reserve();
	a.commit(a.reserve().size());
	EXPECT_EQ(reserve_error(a), std::errc::operation_would_block);
	EXPECT_EQ(a.wait_for(event::writable, 50ms), event::none);
	b.peek();
	b.consume(4096);
	EXPECT_EQ(a.wait_for(event::writable), event::writable);
}

TEST(mapped_library, the_handle_wakes)
{
	channel a = open("stream", 0, true), b = open("stream", 1, true);
	pollfd ready{b.native_handle(), POLLIN, 0};
	EXPECT_TRUE(node::eventually([&] {
		return peek_error(b) == std::errc::operation_would_block && ::poll(&ready, 1, 100) == 0;
	}));
	put_text(a, "ring");
	EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
	EXPECT_EQ(take_text(b), "ring");
}

TEST(mapped_library, ends)
{
	channel b = open("stream", 1);
	{
		channel a = open("stream", 0);
		put_text(a, "the rest");
		EXPECT_EQ(to_text(b.peek()), "the rest");
	}
	EXPECT_EQ(take_text(b), "the rest") << "closed means unmapped";
	EXPECT_TRUE(b.peek().empty());
	EXPECT_EQ(reserve_error(b), std::errc::broken_pipe);
	channel again = open("stream", 0);
	EXPECT_TRUE(b.peek().empty()) << "a new session is not this one's";
	b.reconnect();
	put_text(b, "new");
	EXPECT_EQ(take_text(again), "new");
	put_text(again, "too");
	EXPECT_EQ(take_text(b), "too");
}

TEST(mapped_library, a_writer_hears_of_the_end_when_the_ring_is_full)
{
	channel a = open("small", 0, true), b = open("small", 1, true);
	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
	b.shutdown_read();
	EXPECT_TRUE(b.peek().empty());
	EXPECT_TRUE(node::eventually([&] {
		const std::error_code ec = reserve_error(a);
		if (!ec)
			a.commit(1);
		return ec == std::errc::broken_pipe;
	}));
}

TEST(mapped_library, shutdown_wakes_sleepers)
{
	channel a = open("small", 0), b = open("small", 1);
	a.commit(a.reserve().size());
	std::thread reader{[&] { EXPECT_TRUE(a.peek().empty()); }};
	std::thread writer{[&] { EXPECT_EQ(reserve_error(a), std::errc::broken_pipe); }};
	std::this_thread::sleep_for(50ms);
	a.shutdown_read();
	a.shutdown_write();
	reader.join();
	writer.join();
}

TEST(mapped_library, records)
{
	channel a = open("packet4k", 0, true), b = open("packet4k", 1, true);
	std::byte buffer[4];
	const auto records = a.counters().tx_records;
	EXPECT_EQ(reserve_error(a, a.max_record() + 1), std::errc::message_size);
	put_text(a, "one");
	a.send(raw_bytes("longer"));
	put_text(a, "three");
	EXPECT_EQ(to_text(b.peek()), "one");
	b.consume(3);
	EXPECT_EQ(b.recv(buffer)->length, 6U);
	EXPECT_EQ(take_text(b), "three");
	put_text(a, std::string(a.max_record(), 'x'));
	EXPECT_EQ(reserve_error(a), std::errc::operation_would_block);
	EXPECT_EQ(take_text(b).size(), a.max_record());
	iovec out[3], in[3];
	std::string text = "abcdefgh";
	std::vector<std::byte> room(30);
	for (std::size_t i = 0; i < 3; ++i) {
		out[i] = {text.data() + i, i + 1};
		in[i] = {room.data() + 10 * i, 10};
	}
	EXPECT_EQ(a.send_many(out), 3U);
	EXPECT_EQ(b.recv_many(in), 3U);
	EXPECT_EQ(in[2].iov_len, 3U);
	EXPECT_EQ(std::memcmp(in[2].iov_base, "cde", 3), 0);
	EXPECT_EQ(a.counters().tx_records, records + 7);
}

/* ---- a peer that writes what it must not ---- */

class mapped_hostile : public ::testing::Test {
protected:
	node::raw_region raw;
};

TEST_F(mapped_hostile, indices_that_make_no_sense)
{
	for (const bool forward : {true, false}) {
		channel a = open("small", 0, true), b = open("small", 1, true);
		put_text(a, "0123");
		EXPECT_EQ(to_text(b.peek()), "0123");
		auto &prod = raw.index("small", 0).tx_prod;
		kvmchan_store(&prod, kvmchan_load(&prod) + (forward ? 5000 : ~__u64{0}));
		b.consume(4);
		EXPECT_EQ(peek_error(b), std::errc::protocol_error);
		EXPECT_EQ(peek_error(b), std::errc::protocol_error);
		EXPECT_EQ(reserve_error(b), std::errc::protocol_error);
		EXPECT_EQ(b.state(), link_state::broken);
		EXPECT_TRUE(node::eventually([&] {
			return error_of([&](std::error_code &ec) { a.write_some(raw_bytes("x"), ec); }) == std::errc::broken_pipe;
		})) << "the peer is told";
	}
	channel a = open("small", 0), b = open("small", 1);
	put_text(a, "works again");
	EXPECT_EQ(take_text(b), "works again");
}

TEST_F(mapped_hostile, a_consumer_that_runs_ahead)
{
	channel a = open("small", 0, true), b = open("small", 1, true);
	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
	auto &cons = raw.index("small", 1).rx_cons;
	kvmchan_store(&cons, kvmchan_load(&cons) + 1);
	EXPECT_EQ(error_of([&](std::error_code &ec) {
		for (int i = 0; i < 2 && !ec; ++i)
			a.reserve(4096, ec);
	}), std::errc::protocol_error);
}

TEST_F(mapped_hostile, a_sleeper_is_woken_by_the_other_directions_error)
{
	channel a = open("small", 0), b = open("small", 1);
	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
	std::thread reader{[&] { EXPECT_EQ(peek_error(a), std::errc::protocol_error); }};
	std::this_thread::sleep_for(50ms);
	auto &cons = raw.index("small", 1).rx_cons;
	kvmchan_store(&cons, kvmchan_load(&cons) + 1);
	EXPECT_EQ(error_of([&](std::error_code &ec) {
		for (int i = 0; i < 2 && !ec; ++i)
			a.reserve(4096, ec);
	}), std::errc::protocol_error);
	reader.join();
}

TEST_F(mapped_hostile, a_head_that_changes_under_its_window)
{
	channel a = open("packet4k", 0, true), b = open("packet4k", 1, true);
	const auto at = kvmchan_load(&raw.index("packet4k", 0).tx_prod) % 4096;
	put_text(a, "01234567");
	put_text(a, "next");
	EXPECT_EQ(to_text(b.peek()), "01234567");
	const std::uint32_t length = 4000;
	std::memcpy(raw.ring("packet4k", 0).data() + at, &length, sizeof(length));
	EXPECT_EQ(to_text(b.peek()), "01234567");
	b.consume(8);
	EXPECT_EQ(take_text(b), "next");
}

/* ---- what is left behind ---- */

std::size_t mapped_nodes()
{
	std::ifstream file{"/proc/self/maps"};
	std::string line;
	std::size_t n = 0;
	while (std::getline(file, line))
		n += line.find("/dev/kvmchan") != std::string::npos;
	return n;
}

TEST(mapped_library, nothing_stays_mapped)
{
	for (int round = 0; round < 3; ++round) {
		channel a = open("stream", 0), b = open("stream", 1);
		EXPECT_EQ(mapped_nodes(), 0U);
		put_text(a, "x");
		EXPECT_EQ(mapped_nodes(), 3U) << "two index pages and a ring";
		EXPECT_EQ(take_text(b), "x");
		put_text(b, "y");
		EXPECT_EQ(mapped_nodes(), 7U);
	}
	EXPECT_EQ(mapped_nodes(), 0U);
}

} // namespace
