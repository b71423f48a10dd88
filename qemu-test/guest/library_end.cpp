// SPDX-License-Identifier: MIT
/*
 * libkvmchan's end of a channel in a guest: the same transfers, by the same
 * code, as on the host, with the device node below.
 */
#include "node.hpp"

#include "../../userlib/tests/channel_mover.hpp"
#include "kvmchan/device.hpp"
#include "kvmchan/memory.hpp"

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

class library_transfer : public testing::TestWithParam<std::tuple<const char *, how>> {};

TEST_P(library_transfer, between_both_sides)
{
	const auto [name, way] = GetParam();
	channel a = open(name, 0), b = open(name, 1);
	const transfer what{a.mode(), a.info().tx_size, way, node::amount("LIBRARY_BYTES", 1'000'000)};
	std::thread writer{[&] { what.write(a, 7); }};
	EXPECT_EQ(what.read(b, 7), what.total);
	writer.join();
	EXPECT_GE(a.counters().tx_bytes, what.total);
}

INSTANTIATE_TEST_SUITE_P(all, library_transfer,
                         testing::Combine(testing::Values("small", "packet4k"),
                                          testing::Values(how::blocking, how::level_triggered, how::edge_triggered)));

TEST(library_end, waits_and_ends)
{
	channel a = open("stream", 0), b = open("stream", 1);
	EXPECT_EQ(b.wait_for(event::readable, 20ms), event::none);
	a.write_all(kvmchan::test::as_bytes("last"));
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	EXPECT_EQ(b.state(), link_state::connected);
	a.shutdown_write();
	EXPECT_EQ(read_text(b), "last");
	EXPECT_EQ(read_text(b), "");
	b.shutdown_read();
	std::error_code ec;
	EXPECT_TRUE(node::eventually([&] {
		a.write_some(kvmchan::test::as_bytes("x"), ec);
		return ec == std::errc::broken_pipe;
	}));
}

TEST(library_end, reconnects)
{
	channel a = open("stream", 0), b = open("stream", 1);
	a.write_all(kvmchan::test::as_bytes("old"));
	EXPECT_EQ(read_text(b), "old");
	a.reconnect();
	EXPECT_EQ(read_text(b), "");
	b.reconnect();
	a.write_all(kvmchan::test::as_bytes("new"));
	EXPECT_EQ(read_text(b), "new");
}

TEST(library_end, records_that_are_cut)
{
	channel a = open("packet", 0), b = open("packet", 1);
	std::byte buffer[4];
	std::error_code ec;
	a.send(kvmchan::test::as_bytes("longer"));
	a.send(kvmchan::test::as_bytes("x"));
	const auto cut = b.recv(buffer);
	ASSERT_TRUE(cut);
	EXPECT_EQ(cut->length, 6U);
	EXPECT_EQ(cut->copied, 4U);
	EXPECT_EQ(b.recv(buffer)->length, 1U);
	a.send(std::vector<std::byte>(a.max_record() + 1), ec);
	EXPECT_EQ(ec, std::errc::message_size);
	a.shutdown_write();
	EXPECT_FALSE(b.recv(buffer));
}

TEST(library_end, low_water_marks)
{
	channel a = open("stream", 0), b = open("stream", 1);
	b.low_water({.rx = 100, .tx = 1});
	a.write_all(kvmchan::test::as_bytes(std::string(99, 'x')));
	EXPECT_EQ(b.wait_for(event::readable, 50ms), event::none);
	a.write_all(kvmchan::test::as_bytes("y"));
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	EXPECT_THROW(b.low_water({.rx = 0, .tx = 1}), std::system_error);
}

TEST(library_end, the_handle_is_the_devices_wake_up)
{
	channel a = open("stream", 0, true), b = open("stream", 1, true);
	pollfd ready{b.native_handle(), POLLIN, 0};
	std::byte buffer[16];
	std::error_code ec;
	// Settles: after "would block" and some spurious ones it is quiet.
	EXPECT_TRUE(node::eventually([&] {
		b.read_some(buffer, ec);
		return ec == std::errc::operation_would_block && ::poll(&ready, 1, 100) == 0;
	}));
	a.write_all(kvmchan::test::as_bytes("ring"));
	EXPECT_EQ(::poll(&ready, 1, 60'000), 1);
	EXPECT_EQ(b.read_some(buffer, ec), 4U);
	EXPECT_GE(b.device_handle(), 0);
}

TEST(library_end, memory_blocks)
{
	kvmchan::memory_block a{node::device("page", 0)}, b{node::device("page", 1)};
	ASSERT_EQ(a.bytes().size(), 4096U);
	const std::uint64_t seen = b.count();
	std::thread waiter{[&] { EXPECT_EQ(b.wait(seen, node::patience), seen + 1); }};
	a.bytes()[4095] = std::byte{7};
	a.signal();
	waiter.join();
	EXPECT_EQ(b.bytes()[4095], std::byte{7});
	EXPECT_EQ(b.wait(seen + 1, 10ms), seen + 1);
}

TEST(library_end, lists_what_there_is)
{
	const auto devices = kvmchan::devices();
	const auto nodes = kvmchan::nodes();
	ASSERT_GE(devices.size(), 2U);
	EXPECT_STREQ(devices.front().driver, "kvmchan");
	EXPECT_GT(devices.front().memory_size, 0U);
	EXPECT_EQ(std::count_if(nodes.begin(), nodes.end(), [](const auto &one) { return std::string{one.name} == "stream"; }),
	          2);
	try {
		const kvmchan::device raw{devices.front().address};
		FAIL() << "it has a driver";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code().value(), EBUSY);
	}
}

} // namespace
