// SPDX-License-Identifier: MIT
// A channel between two ends in one process, step by step.
#include <thread>

#include <gtest/gtest.h>

#include "channel_fixture.hpp"

namespace kvmchan::test {
namespace {

using namespace std::chrono_literals;

std::error_code read_error(channel &from)
{
	std::byte buffer[64];
	std::error_code ec;

	from.read_some(buffer, ec);
	return ec;
}

std::error_code write_error(channel &to)
{
	std::error_code ec;

	to.write_some(as_bytes("x"), ec);
	return ec;
}

TEST(channel_basic, bytes_go_both_ways)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	a.write_all(as_bytes("hello"));
	EXPECT_EQ(read_text(b), "hello");
	b.write_all(as_bytes("world"));
	EXPECT_EQ(read_text(a), "world");
	EXPECT_EQ(a.state(), link_state::connected);
	EXPECT_EQ(b.state(), link_state::connected);
}

TEST(channel_basic, written_before_the_peer_is_there)
{
	const test_region where;
	channel a = where.end(0);

	EXPECT_EQ(a.state(), link_state::waiting);
	a.write_all(as_bytes("early"));
	channel b = where.end(1);
	EXPECT_EQ(read_text(b), "early");
}

TEST(channel_basic, closed_before_the_peer_came)
{
	const test_region where;

	{
		channel a = where.end(0);
		a.write_all(as_bytes("left behind"));
	}
	channel b = where.end(1);
	EXPECT_EQ(read_text(b), "left behind");
	EXPECT_EQ(read_text(b), "");
	EXPECT_EQ(b.state(), link_state::disconnected);
}

TEST(channel_basic, end_of_stream_after_the_last_byte)
{
	const test_region where;
	channel b = where.end(1);

	{
		channel a = where.end(0);
		a.write_all(as_bytes("last"));
		EXPECT_EQ(b.wait_for(event::readable, 5s), event::readable);
	}
	EXPECT_EQ(read_text(b), "last");
	EXPECT_EQ(read_text(b), "");
	EXPECT_EQ(write_error(b), std::errc::broken_pipe);
	EXPECT_EQ(b.state(), link_state::disconnected);
}

TEST(channel_basic, half_close)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	a.write_all(as_bytes("request"));
	a.shutdown_write();
	EXPECT_EQ(write_error(a), std::errc::broken_pipe);
	EXPECT_EQ(read_text(b), "request");
	EXPECT_EQ(read_text(b), "");
	b.write_all(as_bytes("answer"));
	EXPECT_EQ(read_text(a), "answer");
	b.shutdown_write();
	EXPECT_EQ(read_text(a), "");
}

TEST(channel_basic, shut_down_reading_breaks_the_writer)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	EXPECT_EQ(a.wait_for(event::writable, 5s) & event::writable, event::writable);
	b.shutdown_read();
	EXPECT_EQ(b.state(), link_state::connected);
	EXPECT_EQ(a.state(), link_state::connected);
	EXPECT_EQ(write_error(a), std::errc::broken_pipe);
	EXPECT_EQ(read_text(b), "");
}

TEST(channel_basic, one_direction_only)
{
	const test_region where;
	channel_options options;

	options.side = 0;
	options.read = false;
	channel a{where.open(), "c0", options};
	channel b = where.end(1, true);

	EXPECT_EQ(read_error(a), std::errc::bad_file_descriptor);
	a.write_all(as_bytes("x"));
	EXPECT_EQ(read_text(b), "x");
	EXPECT_EQ(a.state(), link_state::connected);
	EXPECT_EQ(write_error(b), std::errc::broken_pipe);
}

TEST(channel_basic, full_and_empty_would_block)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);
	const std::vector<std::byte> much(3 * test_region::default_ring);
	std::vector<std::byte> buffer(much.size());

	EXPECT_EQ(read_error(b), std::errc::operation_would_block);
	EXPECT_EQ(a.write_some(much), test_region::default_ring);
	EXPECT_EQ(a.buffer_space(), 0U);
	EXPECT_EQ(write_error(a), std::errc::operation_would_block);
	EXPECT_EQ(b.read_some(buffer), test_region::default_ring);
	EXPECT_EQ(a.write_some(much), test_region::default_ring);
	EXPECT_GE(a.counters().ring_full, 1U);
}

TEST(channel_basic, wait_for_times_out_and_wakes)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	EXPECT_EQ(b.wait_for(event::readable, 10ms), event::none);
	std::thread writer{[&] {
		std::this_thread::sleep_for(20ms);
		a.write_all(as_bytes("now"));
	}};
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	writer.join();
	EXPECT_EQ(read_text(b), "now");
}

TEST(channel_basic, a_waiting_thread_is_woken_by_shutdown)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);
	std::thread reader{[&] { EXPECT_EQ(read_text(b), ""); }};

	std::this_thread::sleep_for(20ms);
	b.shutdown_read();
	reader.join();
}

TEST(channel_basic, low_water_marks)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);
	const std::string half(test_region::default_ring / 2, 'x');

	b.low_water({100, 1});
	a.write_all(as_bytes(std::string(99, 'x')));
	EXPECT_EQ(b.wait_for(event::readable, 20ms), event::none);
	a.write_all(as_bytes("y"));
	EXPECT_EQ(b.wait_for(event::readable, 5s), event::readable);
	EXPECT_EQ(read_text(b).size(), 100U);
	a.write_all(as_bytes("tail"));
	a.shutdown_write();
	EXPECT_EQ(read_text(b), "tail");
	EXPECT_THROW(b.low_water({0, 1}), std::system_error);
	EXPECT_THROW(b.low_water({1, test_region::default_ring / 2 + 1}), std::system_error);
}

TEST(channel_basic, records_keep_their_boundaries)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0), b = where.end(1);
	std::byte buffer[16];

	a.send(as_bytes("one"));
	EXPECT_THROW(a.send({}), std::system_error);
	a.send(as_bytes("a record that is longer than the buffer"));
	a.send(as_bytes("four"));
	EXPECT_EQ(b.recv(buffer)->length, 3U);
	const auto cut = b.recv(buffer);
	EXPECT_EQ(cut->length, 39U);
	EXPECT_EQ(cut->copied, sizeof(buffer));
	EXPECT_TRUE(cut->truncated());
	EXPECT_EQ(to_text(buffer), "a record that is");
	EXPECT_EQ(b.recv(buffer)->length, 4U);
	a.shutdown_write();
	EXPECT_FALSE(b.recv(buffer));
}

TEST(channel_basic, longest_record)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);
	std::vector<std::byte> record(a.max_record() + 1);
	std::error_code ec;

	EXPECT_EQ(a.max_record(), test_region::default_ring - 8);
	a.send(record, ec);
	EXPECT_EQ(ec, std::errc::message_size);
	record.pop_back();
	a.send(record);
	a.send(as_bytes("x"), ec);
	EXPECT_EQ(ec, std::errc::operation_would_block);
	EXPECT_EQ(b.recv(record)->length, record.size());
	a.send(as_bytes("x"));
}

TEST(channel_basic, records_and_bytes_are_not_mixed_up)
{
	const test_region where;
	channel a = where.end(0);
	std::byte buffer[1];

	EXPECT_THROW(a.send(buffer), std::system_error);
	EXPECT_THROW(a.recv(buffer), std::system_error);
}

TEST(channel_basic, a_side_has_one_owner)
{
	const test_region where;
	channel a = where.end(0);

	EXPECT_THROW(where.end(0), std::system_error);
	channel b{where.open(), "c0"};
	EXPECT_EQ(b.side(), 1U);
	EXPECT_THROW((channel{where.open(), "c0"}), std::system_error);
}

TEST(channel_basic, who_comes_second_takes_what_the_first_one_left)
{
	const test_region where;

	{
		channel a{where.open(), "c0"};
		a.write_all(as_bytes("for you"));
	}
	channel b{where.open(), "c0"};
	EXPECT_EQ(b.side(), 1U);
	EXPECT_EQ(read_text(b), "for you");
}

TEST(channel_basic, reconnect_begins_anew)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	a.write_all(as_bytes("old"));
	EXPECT_EQ(read_text(b), "old");
	a.write_all(as_bytes("never read"));
	a.reconnect();
	EXPECT_EQ(read_text(b), "never read");
	EXPECT_EQ(read_text(b), "");
	b.reconnect();
	a.write_all(as_bytes("new"));
	EXPECT_EQ(read_text(b), "new");
}

TEST(channel_basic, names_and_sizes)
{
	const test_region where{channel_mode::packet, 8192};
	const channel a = where.end(0);

	EXPECT_EQ(a.name(), "c0");
	EXPECT_EQ(a.mode(), channel_mode::packet);
	EXPECT_EQ(a.side(), 0U);
	EXPECT_EQ(a.peer(), std::nullopt);
	EXPECT_EQ(a.info().rx_size, 8192U);
	EXPECT_EQ(a.info().tx_size, 8192U);
	EXPECT_THROW((channel{where.open(), "nonesuch"}), std::system_error);
	EXPECT_THROW(a.device_handle(), std::system_error);
}

} // namespace
} // namespace kvmchan::test
