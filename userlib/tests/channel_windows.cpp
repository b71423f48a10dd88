// SPDX-License-Identifier: MIT
// Windows into the rings, and many records at once, step by step.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/resource.h>

#include <gtest/gtest.h>

#include "channel_fixture.hpp"
#include "window_calls.hpp"

namespace kvmchan::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t ring = test_region::default_ring, half = ring / 2;

/* The ring is full but for so many bytes; what fills it is on its way. */
void fill_but(channel &to, std::size_t left)
{
	to.reserve(ring);
	to.commit(ring - left);
}

TEST(channel_windows, bytes_go_both_ways)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	put_text(a, "hello");
	EXPECT_EQ(take_text(b), "hello");
	put_text(b, "world");
	EXPECT_EQ(take_text(a), "world");
}

/* Every place in the ring, with windows that go to its end, over it and round. */
TEST(channel_windows, a_window_is_in_one_piece)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);
	byte_stream out{1}, in{1};

	for (std::size_t step = 0; step < 3000; ++step) {
		const std::size_t size = step % 3 == 0 ? ring : 1 + step * 37 % ring;
		const auto to = a.reserve(size);

		ASSERT_GE(to.size(), size);
		ASSERT_EQ(a.reserve(size).size(), ring) << "looked again, it is empty";
		out.fill(to.first(size));
		a.commit(size);
		const auto from = b.peek(step % 2 && size <= half ? size : 1);

		ASSERT_EQ(from.size(), size);
		for (const std::byte one : from)
			ASSERT_EQ(one, in.next()) << step;
		b.consume(size);
	}
}

TEST(channel_windows, room_that_can_never_be_had)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	EXPECT_EQ(reserve_error(a, ring + 1), std::errc::result_out_of_range);
	EXPECT_EQ(reserve_error(a, SIZE_MAX), std::errc::result_out_of_range);
	EXPECT_EQ(a.reserve(ring).size(), ring);
	fill_but(a, half);
	EXPECT_EQ(a.reserve(half).size(), half);
	EXPECT_EQ(reserve_error(a, half + 1), std::errc::result_out_of_range) << "the reader may wait for half";
	a.commit(1);
	EXPECT_EQ(reserve_error(a, half), std::errc::operation_would_block);
	EXPECT_EQ(a.reserve(0).size(), half - 1);
	a.commit(half - 1);
	EXPECT_EQ(reserve_error(a, 0), std::errc::operation_would_block) << "0 is 1";
	EXPECT_EQ(b.peek(ring).size(), ring);
}

TEST(channel_windows, bytes_that_can_never_be_had)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	EXPECT_EQ(peek_error(b), std::errc::operation_would_block);
	put_text(a, std::string(half, 'x'));
	EXPECT_EQ(peek_error(b, ring + 1), std::errc::result_out_of_range);
	EXPECT_EQ(peek_error(b, half + 1), std::errc::result_out_of_range) << "the writer may wait for half";
	EXPECT_EQ(b.peek(half).size(), half);
	b.consume(1);
	EXPECT_EQ(peek_error(b, half), std::errc::operation_would_block);
	EXPECT_EQ(b.peek(0).size(), half - 1);
	put_text(a, "and more");
	EXPECT_EQ(b.peek(half + 1).size(), half + 7) << "it is there";
}

TEST(channel_windows, what_is_reserved_can_be_committed_in_parts)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	EXPECT_EQ(commit_error(a, 1), std::errc::invalid_argument);
	EXPECT_EQ(commit_error(a, 0), std::error_code{});
	std::ranges::copy(as_bytes("abcdef"), a.reserve(6).begin());
	EXPECT_EQ(commit_error(a, ring + 1), std::errc::invalid_argument);
	a.commit(2);
	EXPECT_EQ(take_text(b), "ab");
	a.commit(4);
	EXPECT_EQ(take_text(b), "cdef");
	EXPECT_EQ(commit_error(a, ring - 5), std::errc::invalid_argument) << "six are gone";
	a.commit(0);
	EXPECT_EQ(commit_error(a, 1), std::errc::invalid_argument) << "given back";
}

TEST(channel_windows, what_is_seen_can_be_consumed_in_parts)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	EXPECT_EQ(consume_error(b, 1), std::errc::invalid_argument);
	put_text(a, "abcdef");
	EXPECT_EQ(to_text(b.peek()), "abcdef");
	EXPECT_EQ(consume_error(b, 7), std::errc::invalid_argument);
	b.consume(2);
	b.consume(2);
	EXPECT_EQ(consume_error(b, 3), std::errc::invalid_argument);
	EXPECT_EQ(to_text(b.peek()), "ef");
	put_text(a, "gh");
	EXPECT_EQ(to_text(b.peek()), "efgh") << "who looks again wants more";
	b.consume(0);
	EXPECT_EQ(take_text(b), "efgh");
}

TEST(channel_windows, windows_and_copies_mix)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	a.write_all(as_bytes("one "));
	put_text(a, "two ");
	a.reserve();
	a.write_all(as_bytes("three"));
	EXPECT_EQ(commit_error(a, 1), std::errc::invalid_argument) << "the window is not there any more";
	EXPECT_EQ(take_text(b, 2), "on");
	EXPECT_EQ(to_text(b.peek()), "e two three");
	EXPECT_EQ(read_text(b, 3), "e t");
	EXPECT_EQ(consume_error(b, 1), std::errc::invalid_argument);
	EXPECT_EQ(take_text(b), "wo three");
	put_text(b, "back");
	EXPECT_EQ(read_text(a), "back");
}

TEST(channel_windows, a_reader_sleeps_until_there_is_enough)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);
	std::thread reader{[&] { EXPECT_EQ(b.peek(100).size(), 100U); }};

	for (int i = 0; i < 100; ++i) {
		if (i % 50 == 0)
			std::this_thread::sleep_for(5ms);
		put_text(a, "x");
	}
	reader.join();
}

TEST(channel_windows, a_writer_sleeps_until_there_is_room)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	fill_but(a, 10);
	std::thread writer{[&] { EXPECT_GE(a.reserve(half).size(), half); }};

	std::this_thread::sleep_for(10ms);
	while (b.peek().size() > half)
		b.consume(10);
	b.consume(b.peek().size());
	writer.join();
}

TEST(channel_windows, shutdown_wakes_who_waits_for_a_window)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	fill_but(a, 0);
	std::thread reader{[&] { EXPECT_TRUE(a.peek().empty()); }};
	std::thread writer{[&] { EXPECT_EQ(reserve_error(a), std::errc::broken_pipe); }};

	std::this_thread::sleep_for(20ms);
	a.shutdown_read();
	a.shutdown_write();
	reader.join();
	writer.join();
}

TEST(channel_windows, wait_for_goes_by_what_was_asked_for)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	EXPECT_EQ(peek_error(b, 100), std::errc::operation_would_block);
	put_text(a, std::string(99, 'x'));
	EXPECT_EQ(b.wait_for(event::readable, 20ms), event::none);
	put_text(a, "x");
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	EXPECT_EQ(b.peek(100).size(), 100U);
	EXPECT_EQ(b.wait_for(event::readable), event::readable);
	b.consume(100);
	a.low_water({1, 1});
	fill_but(a, 0);
	EXPECT_EQ(reserve_error(a, 200), std::errc::operation_would_block);
	b.peek();
	b.consume(199);
	EXPECT_EQ(a.wait_for(event::writable, 20ms), event::none);
	b.consume(1);
	EXPECT_EQ(a.wait_for(event::writable), event::writable);
}

TEST(channel_windows, the_end_comes_after_the_last_byte)
{
	const test_region where;
	channel b = where.end(1);

	{
		channel a = where.end(0);

		EXPECT_EQ(a.wait_for(event::writable), event::writable);
		put_text(a, "the rest");
		b.state();
		a.state();
	}
	EXPECT_EQ(to_text(b.peek(100)), "the rest") << "less, for that is all";
	b.consume(4);
	EXPECT_EQ(take_text(b), "rest");
	EXPECT_TRUE(b.peek().empty());
	EXPECT_EQ(reserve_error(b), std::errc::broken_pipe);
}

TEST(channel_windows, a_writer_hears_of_the_end_at_its_next_window)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
	put_text(a, "y");
	b.shutdown_read();
	EXPECT_EQ(reserve_error(a), std::errc::broken_pipe);
}

TEST(channel_windows, a_new_session_has_no_windows)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	put_text(a, "old");
	EXPECT_EQ(to_text(b.peek()), "old");
	a.reserve();
	a.reconnect();
	EXPECT_EQ(commit_error(a, 1), std::errc::invalid_argument);
	b.reconnect();
	EXPECT_EQ(consume_error(b, 1), std::errc::invalid_argument);
	put_text(a, "new");
	EXPECT_EQ(take_text(b), "new");
}

TEST(channel_windows, directions_that_are_not_open)
{
	const test_region where;
	channel_options options;

	options.side = 0;
	options.read = false;
	channel a{where.open(), "c0", options};
	channel b = where.end(1);

	EXPECT_EQ(peek_error(a), std::errc::bad_file_descriptor);
	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
}

TEST(channel_windows, records_keep_their_boundaries)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0), b = where.end(1);
	std::byte buffer[16];

	put_text(a, "one");
	a.send(as_bytes("two"));
	std::ranges::copy(as_bytes("three and more"), a.reserve(14).begin());
	a.commit(5);
	EXPECT_EQ(commit_error(a, 1), std::errc::invalid_argument) << "one window, one record";
	put_text(a, "four");
	EXPECT_EQ(to_text(b.peek(100)), "one") << "whatever the least";
	EXPECT_EQ(to_text(b.peek()), "one");
	EXPECT_EQ(consume_error(b, 4), std::errc::invalid_argument);
	b.consume(1);
	EXPECT_EQ(consume_error(b, 1), std::errc::invalid_argument);
	EXPECT_EQ(take_text(b), "two");
	EXPECT_EQ(to_text(b.peek()), "three");
	EXPECT_EQ(b.recv(buffer)->length, 5U) << "it was not consumed";
	EXPECT_EQ(take_text(b), "four");
	a.shutdown_write();
	EXPECT_TRUE(b.peek().empty());
	EXPECT_EQ(a.counters().tx_records, 4U);
	EXPECT_EQ(b.counters().rx_records, 4U);
	EXPECT_EQ(b.counters().rx_bytes, a.counters().tx_bytes);
}

TEST(channel_windows, the_longest_record)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);
	byte_stream out{1}, in{1};

	EXPECT_EQ(reserve_error(a, a.max_record() + 1), std::errc::message_size);
	EXPECT_EQ(reserve_error(a, SIZE_MAX), std::errc::message_size);
	for (int round = 0; round < 600; ++round) {
		put_text(a, "x");
		EXPECT_EQ(take_text(b), "x");
		const auto window = a.reserve(a.max_record());

		ASSERT_EQ(window.size(), a.max_record());
		out.fill(window);
		a.commit(window.size());
		EXPECT_EQ(reserve_error(a), std::errc::operation_would_block);
		const auto record = b.peek();

		ASSERT_EQ(record.size(), a.max_record());
		for (const std::byte one : record)
			ASSERT_EQ(one, in.next()) << round;
		b.consume(record.size());
	}
}

/* Padding counts: a record of what the window has always fits. */
TEST(channel_windows, a_full_window_of_records)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);

	put_text(a, std::string(ring - 8 - 24, 'x'));
	ASSERT_EQ(a.reserve(9).size(), 16U);
	a.commit(9);
	EXPECT_EQ(reserve_error(a), std::errc::operation_would_block);
	EXPECT_EQ(take_text(b).size(), ring - 32);
	EXPECT_EQ(take_text(b).size(), 9U);
}

/* ---- many at once ---- */

struct batch {
	explicit batch(std::initializer_list<std::size_t> sizes)
	{
		for (const std::size_t size : sizes)
			buffers.emplace_back(size, std::byte{static_cast<unsigned char>('a' + buffers.size())});
		for (auto &buffer : buffers)
			records.push_back({buffer.data(), buffer.size()});
	}

	std::string text(std::size_t i) const
	{
		return {static_cast<const char *>(records[i].iov_base), records[i].iov_len};
	}

	std::vector<std::vector<std::byte>> buffers;
	std::vector<iovec> records;
};

std::error_code send_error(channel &to, std::initializer_list<std::size_t> sizes)
{
	const batch out{sizes};
	std::error_code ec;

	to.send_many(out.records, ec);
	return ec;
}

TEST(channel_batches, many_records_and_one_notification)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0), b = where.end(1);
	const batch out{1, 20, 300};
	batch in{10, 20, 500, 7};
	const auto notified = [](const channel &by) {
		return by.counters().doorbells_sent + by.counters().doorbells_suppressed;
	};

	/* The first bytes pass the index at which b asked at the very start. */
	put_text(a, "x");
	EXPECT_EQ(take_text(b), "x");
	const auto before = notified(a);

	EXPECT_EQ(a.send_many(out.records), 3U);
	EXPECT_EQ(notified(a), before + 1);
	EXPECT_EQ(a.counters().tx_records, 4U);
	EXPECT_EQ(b.recv_many(in.records), 3U);
	for (std::size_t i = 0; i < 3; ++i)
		EXPECT_EQ(in.text(i), out.text(i));
	EXPECT_EQ(in.records[3].iov_len, 7U) << "stays as it was";
	EXPECT_EQ(b.counters().rx_records, 4U);
	EXPECT_EQ(b.counters().rx_bytes, 322U);
}

TEST(channel_batches, as_many_as_there_is_room_for)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);
	const batch out{2000, 2000, 100, 100};
	batch in{4000, 4000};

	EXPECT_EQ(a.send_many(out.records), 2U);
	EXPECT_EQ(send_error(a, {100}), std::errc::operation_would_block);
	EXPECT_EQ(b.recv_many(std::span{in.records}.first(1)), 1U);
	EXPECT_EQ(a.send_many(std::span{out.records}.subspan(2)), 2U);
	EXPECT_EQ(b.recv_many(std::span{in.records}.subspan(1)), 1U);
	EXPECT_EQ(in.text(1), out.text(1));
}

TEST(channel_batches, what_does_not_fit_ends_the_call)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);
	batch in{10, 10, 10};
	std::error_code ec;

	EXPECT_EQ(a.send_many(batch{5, 11, 6}.records), 3U);
	EXPECT_EQ(b.recv_many(in.records), 1U);
	EXPECT_EQ(in.records[0].iov_len, 5U);
	EXPECT_EQ(in.records[1].iov_len, 10U);
	EXPECT_EQ(b.recv_many(in.records, ec), 0U);
	EXPECT_EQ(ec, std::errc::message_size);
	EXPECT_EQ(take_text(b), std::string(11, 'b')) << "nothing is lost";
	in.records[0].iov_len = 6;
	EXPECT_EQ(b.recv_many(in.records), 1U);
	EXPECT_EQ(in.text(0), "cccccc");
	EXPECT_EQ(b.recv_many(in.records, ec), 0U);
	EXPECT_EQ(ec, std::errc::operation_would_block);
	a.shutdown_write();
	EXPECT_EQ(b.recv_many(in.records), 0U);
}

TEST(channel_batches, what_send_would_refuse)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);

	EXPECT_EQ(send_error(a, {}), std::errc::invalid_argument);
	EXPECT_EQ(send_error(a, {0, 1}), std::errc::invalid_argument);
	EXPECT_EQ(send_error(a, {ring, 1}), std::errc::message_size);
	EXPECT_EQ(a.send_many(batch{1, 0, 1}.records), 1U);
	EXPECT_EQ(a.send_many(batch{1, ring}.records), 1U);
	EXPECT_EQ(take_text(b), "a");
	EXPECT_EQ(take_text(b), "a");
	EXPECT_EQ(peek_error(b), std::errc::operation_would_block);
}

TEST(channel_batches, a_waiting_receiver_gets_what_comes)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0), b = where.end(1);
	std::thread receiver{[&] {
		batch in{10, 10};

		EXPECT_EQ(b.recv_many(in.records), 1U);
	}};

	std::this_thread::sleep_for(10ms);
	a.send(as_bytes("x"));
	receiver.join();
}

TEST(channel_batches, not_on_a_stream)
{
	const test_region where;
	channel a = where.end(0, true);
	batch in{10};
	std::error_code ec;

	EXPECT_EQ(send_error(a, {1}), std::errc::not_supported);
	a.recv_many(in.records, ec);
	EXPECT_EQ(ec, std::errc::not_supported);
}

/* ---- what is left behind ---- */

std::size_t lines_of(const char *path)
{
	std::ifstream file{path};
	std::string line;
	std::size_t n = 0;

	while (std::getline(file, line))
		n += line.find("kvmchan-test") != std::string::npos;
	return n;
}

std::size_t open_files()
{
	const std::filesystem::directory_iterator all{"/proc/self/fd"};

	return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(channel_windows, nothing_stays_mapped_or_open)
{
	const test_region where;
	const std::size_t maps = lines_of("/proc/self/maps"), files = open_files();

	for (int round = 0; round < 3; ++round) {
		channel a = where.end(0), b = where.end(1);
		const std::size_t mapped = lines_of("/proc/self/maps");

		put_text(a, "x");
		EXPECT_EQ(take_text(b), "x");
		EXPECT_EQ(lines_of("/proc/self/maps"), mapped + 4) << "two views of two halves each";
		put_text(a, "x");
		EXPECT_EQ(take_text(b), "x");
		EXPECT_EQ(lines_of("/proc/self/maps"), mapped + 4) << "mapped once";
	}
	EXPECT_EQ(lines_of("/proc/self/maps"), maps);
	EXPECT_EQ(open_files(), files);
}

/* The call fails, the channel does not. */
TEST(channel_windows, a_ring_that_cannot_be_mapped)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);
	const rlimit none{0, RLIM_INFINITY};
	rlimit was{};

	a.write_all(as_bytes("x"));
	::getrlimit(RLIMIT_AS, &was);
	::setrlimit(RLIMIT_AS, &none);
	const std::error_code failed = reserve_error(a);

	::setrlimit(RLIMIT_AS, &was);
	EXPECT_EQ(failed, std::errc::not_enough_memory);
	a.write_all(as_bytes("y"));
	put_text(a, "z");
	EXPECT_EQ(take_text(b), "xyz");
}

} // namespace
} // namespace kvmchan::test
