// SPDX-License-Identifier: MIT
// A peer that writes what it likes into the region.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "channel_fixture.hpp"
#include "shared_format.hpp"

namespace kvmchan::test {
namespace {

using namespace std::chrono_literals;

/* The words of the only channel, as whoever maps the region has them. */
kvmchan_control &control_of(const test_region &where)
{
	const kvmchan_slot_info slot = where.open().slots().front();

	return *reinterpret_cast<kvmchan_control *>(where.bytes().data() + slot.control);
}

std::error_code read_error(channel &from)
{
	std::byte buffer[64];
	std::error_code ec;

	while (from.read_some(buffer, ec) && !ec)
		;
	return ec;
}

std::error_code write_error(channel &to)
{
	std::error_code ec;

	to.write_some(as_bytes("x"), ec);
	return ec;
}

void connect(channel &a, channel &b)
{
	a.state();
	b.state();
	ASSERT_EQ(a.state(), link_state::connected);
	ASSERT_EQ(b.state(), link_state::connected);
}

/*
 * Not hostile, but late: the end of a channel that was removed closes its only
 * session, and does not know yet that its pages are another channel's.
 */
TEST(channel_hostile, what_a_former_channel_left_does_not_keep_ends_apart)
{
	for (const unsigned late : {0U, 1U}) {
		const test_region where;

		control_of(where).side[late].session.link = 1 | __u64{1} << KVMCHAN_LINK_ACKED_SHIFT;
		channel a = where.end(0, true), b = where.end(1, true);

		connect(a, b);
	}
}

TEST(channel_hostile, an_index_that_runs_ahead_ends_both_directions)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	connect(a, b);
	EXPECT_EQ(read_error(a), std::errc::operation_would_block);
	control_of(where).side[1].index.tx_prod += test_region::default_ring + 1;
	EXPECT_EQ(read_error(a), std::errc::protocol_error);
	EXPECT_EQ(write_error(a), std::errc::protocol_error);
	EXPECT_EQ(a.state(), link_state::broken);
	EXPECT_EQ(a.counters().protocol_errors, 1U);
	EXPECT_EQ(write_error(b), std::errc::broken_pipe) << "b is told";
}

TEST(channel_hostile, a_consumer_that_goes_back)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	connect(a, b);
	EXPECT_EQ(write_error(a), std::error_code{});
	EXPECT_EQ(read_text(b), "x");
	EXPECT_EQ(write_error(a), std::error_code{});
	control_of(where).side[1].index.rx_cons -= 1;
	EXPECT_EQ(write_error(a), std::errc::protocol_error);
	EXPECT_EQ(read_error(a), std::errc::protocol_error);
}

TEST(channel_hostile, a_new_session_is_a_new_start)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);

	connect(a, b);
	EXPECT_EQ(write_error(a), std::error_code{});
	EXPECT_EQ(read_text(b), "x");
	control_of(where).side[1].index.rx_cons += 5000;
	EXPECT_EQ(write_error(a), std::errc::protocol_error);
	a.reconnect();
	b.reconnect();
	a.write_some(as_bytes("again"));
	EXPECT_EQ(read_text(b), "again");
}

TEST(channel_hostile, a_record_that_is_longer_than_what_is_there)
{
	for (const std::uint32_t length : {0U, 25U, 0xffffffffU}) {
		const test_region where{channel_mode::packet};
		channel a = where.end(0, true), b = where.end(1, true);
		std::vector<std::byte> buffer(4096);
		std::error_code ec;

		connect(a, b);
		a.send(as_bytes("0123456789abcdefghijklm"));
		const std::uint64_t ring = where.open().slots().front().offset[0];

		std::memcpy(where.bytes().data() + ring, &length, sizeof(length));
		b.recv(buffer, ec);
		EXPECT_EQ(ec, std::errc::protocol_error) << length;
	}
}

TEST(channel_hostile, half_a_record_head)
{
	const test_region where{channel_mode::packet};
	channel a = where.end(0, true), b = where.end(1, true);
	std::byte buffer[16];
	std::error_code ec;

	connect(a, b);
	control_of(where).side[0].index.tx_prod += 4;
	b.recv(buffer, ec);
	EXPECT_EQ(ec, std::errc::protocol_error);
}

/* ---- windows ---- */

TEST(channel_hostile, indices_that_move_while_a_window_is_open)
{
	const __u64 size = test_region::default_ring;

	for (const __u64 move : {size + 1, ~__u64{0}, __u64{1} << 63}) {
		const test_region where;
		channel a = where.end(0, true), b = where.end(1, true);
		std::error_code ec;

		connect(a, b);
		a.write_some(as_bytes("0123"));
		EXPECT_EQ(b.peek(2).size(), 4U);
		control_of(where).side[0].index.tx_prod += move;
		b.consume(3);
		b.consume(2, ec);
		EXPECT_EQ(ec, std::errc::invalid_argument) << "the window is what it was";
		b.consume(1);
		b.peek(1, ec);
		EXPECT_EQ(ec, std::errc::protocol_error) << move;
		b.reserve(1, ec);
		EXPECT_EQ(ec, std::errc::protocol_error);
		EXPECT_EQ(b.counters().protocol_errors, 1U);
	}
}

TEST(channel_hostile, a_consumer_that_moves_while_room_is_reserved)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);
	std::error_code ec;

	connect(a, b);
	EXPECT_EQ(a.reserve(1, ec).size(), test_region::default_ring);
	control_of(where).side[1].index.rx_cons += test_region::default_ring;
	a.commit(test_region::default_ring - 1);
	a.reserve(100, ec);
	EXPECT_EQ(ec, std::errc::protocol_error);
	a.commit(1, ec);
	EXPECT_EQ(ec, std::errc::protocol_error);
}

/* As if it had paired with another session of ours: the ring is not ours. */
TEST(channel_hostile, a_session_that_is_refused_while_a_window_is_open)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);
	std::error_code ec;

	connect(a, b);
	a.write_some(as_bytes("0123"));
	EXPECT_EQ(b.peek().size(), 4U);
	control_of(where).side[0].session.link += __u64{1} << KVMCHAN_LINK_ACKED_SHIFT;
	EXPECT_TRUE(b.peek(100).empty());
	b.consume(1, ec);
	EXPECT_EQ(ec, std::errc::invalid_argument);
	EXPECT_TRUE(b.peek().empty());
}

TEST(channel_hostile, a_records_head_that_changes_under_its_window)
{
	for (const std::uint32_t length : {0U, 1U, 4000U, 0xffffffffU}) {
		const test_region where{channel_mode::packet};
		channel a = where.end(0, true), b = where.end(1, true);

		connect(a, b);
		a.send(as_bytes("0123456789"));
		a.send(as_bytes("next"));
		EXPECT_EQ(to_text(b.peek()), "0123456789");
		std::memcpy(where.bytes().data() + where.open().slots().front().offset[0], &length, sizeof(length));
		EXPECT_EQ(to_text(b.peek()), "0123456789");
		b.consume(10);
		EXPECT_EQ(to_text(b.peek()), "next");
	}
}

TEST(channel_hostile, a_bad_record_amidst_good_ones)
{
	for (const std::uint32_t length : {0U, 17U, 0xffffffffU}) {
		const test_region where{channel_mode::packet};
		channel a = where.end(0, true), b = where.end(1, true);
		std::vector<std::byte> buffer(4096);
		std::vector<iovec> in(4, {buffer.data(), buffer.size()});
		std::error_code ec;

		connect(a, b);
		a.send(as_bytes("01234567"));
		a.send(as_bytes("01234567"));
		std::memcpy(where.bytes().data() + where.open().slots().front().offset[0] + 16, &length, sizeof(length));
		EXPECT_EQ(b.recv_many(in, ec), 1U);
		b.recv_many(in, ec);
		EXPECT_EQ(ec, std::errc::protocol_error) << length;
	}
}

/* Not where records begin: the room is whole units all the same. */
TEST(channel_hostile, odd_indices_of_records)
{
	const test_region where{channel_mode::packet};
	const __u64 size = test_region::default_ring;

	/* A head that lies across the ring's end. */
	control_of(where).side[0].index.tx_prod = size - 4;
	channel a = where.end(0, true), b = where.end(1, true);

	connect(a, b);
	std::ranges::copy(as_bytes("across"), a.reserve(6).begin());
	a.commit(6);
	EXPECT_EQ(to_text(b.peek()), "across");
	b.consume(6);
	std::ranges::copy(as_bytes("and on"), a.reserve(6).begin());
	a.commit(6);
	control_of(where).side[1].index.rx_cons += 3;
	a.reserve();
	const std::size_t window = a.reserve().size();

	a.commit(window);
	const auto &words = control_of(where);

	EXPECT_LE(words.side[0].index.tx_prod - words.side[1].index.rx_cons, size);
	EXPECT_GT(words.side[0].index.tx_prod - words.side[1].index.rx_cons, size - 8);
}

TEST(channel_hostile, a_sleeper_is_woken_by_the_other_directions_error)
{
	const test_region where;
	channel a = where.end(0), b = where.end(1);

	connect(a, b);
	std::thread reader{[&] { EXPECT_EQ(read_error(a), std::errc::protocol_error); }};

	std::this_thread::sleep_for(20ms);
	control_of(where).side[1].index.rx_cons += 1;
	EXPECT_EQ(write_error(a), std::errc::protocol_error);
	reader.join();
}

TEST(channel_hostile, a_table_that_changes_under_the_channel)
{
	const test_region where;
	channel a = where.end(0, true);
	auto *const superblock = reinterpret_cast<kvmchan_superblock *>(where.bytes().data());
	auto *const slot = reinterpret_cast<kvmchan_slot *>(where.bytes().data() + superblock->table_offset);

	EXPECT_EQ(write_error(a), std::error_code{});
	superblock->generation += 2;
	EXPECT_EQ(write_error(a), std::error_code{}) << "another slot's change";
	superblock->generation += 1;
	slot->id += 1;
	EXPECT_EQ(write_error(a), std::error_code{}) << "not yet";
	superblock->generation += 1;
	EXPECT_EQ(write_error(a), std::errc::no_such_device);
	EXPECT_EQ(read_error(a), std::errc::no_such_device);
	EXPECT_EQ(a.state(), link_state::disconnected);
}

TEST(channel_hostile, tables_that_lie)
{
	const auto open_with = [](auto change) {
		const test_region where;
		auto *const superblock = reinterpret_cast<kvmchan_superblock *>(where.bytes().data());
		auto *const slot = reinterpret_cast<kvmchan_slot *>(where.bytes().data() + superblock->table_offset);

		change(*superblock, *slot);
		try {
			channel{where.open(), "c0"};
		} catch (const std::system_error &error) {
			return error.code();
		}
		return std::error_code{};
	};
	using sb = kvmchan_superblock;
	using sl = kvmchan_slot;

	EXPECT_EQ(open_with([](sb &, sl &) {}), std::error_code{});
	EXPECT_EQ(open_with([](sb &b, sl &) { b.magic = 0; }).value(), ENODATA);
	EXPECT_EQ(open_with([](sb &b, sl &) { b.major = 7; }), std::errc::protocol_not_supported);
	EXPECT_EQ(open_with([](sb &b, sl &) { b.size = ~0ULL; }), std::errc::bad_message);
	EXPECT_EQ(open_with([](sb &b, sl &) { b.table_offset = ~4095ULL; }), std::errc::bad_message);
	EXPECT_EQ(open_with([](sb &, sl &s) { s.control = ~4095ULL; }), std::errc::bad_message);
	EXPECT_EQ(open_with([](sb &, sl &s) { s.data_size[1] = 12345; }), std::errc::bad_message);
	EXPECT_EQ(open_with([](sb &, sl &s) { s.name[0] = '/'; }), std::errc::no_such_file_or_directory);
	EXPECT_EQ(open_with([](sb &, sl &s) { s.side[0] = s.side[1] = KVMCHAN_PEER_ANY; s.side[0] = 3; s.side[1] = 4; }),
	          std::errc::permission_denied);
	EXPECT_EQ(open_with([](sb &b, sl &) { b.generation |= 1; }), std::errc::timed_out);
}

/* Every byte of both windows is touched; who checks is the sanitizer, or the MMU. */
void use_windows(channel &on, std::error_code &wrote, std::error_code &read)
{
	std::error_code ec;

	for (int i = 0; i < 3; ++i) {
		const auto room = on.reserve(8, wrote);

		std::ranges::fill(room, std::byte{1});
		on.commit(room.size() / 2, ec);
		const auto there = on.peek(8, read);

		if (std::ranges::count(there, std::byte{1}) > 0)
			on.consume(there.size() / 2, ec);
		on.consume(there.empty() ? 0 : 1, ec);
	}
}

/* Random words everywhere, while both directions are in use. */
TEST(channel_hostile, a_scribbler)
{
	for (const channel_mode mode : {channel_mode::stream, channel_mode::packet}) {
		const test_region where{mode};
		std::atomic<bool> over{false};
		std::thread scribbler{[&] {
			const kvmchan_slot_info slot = where.open().slots().front();
			auto *const words = reinterpret_cast<__le64 *>(where.bytes().data() + slot.control);
			std::mt19937_64 random{1};

			while (!over) {
				const std::size_t at = random() % 4 * 512 + random() % 4 * 16 * (random() % 2);
				const std::uint64_t old = kvmchan_load(words + at);

				kvmchan_store(words + at, random() % 4 ? old + random() % 9000 - 4500 : random());
			}
		}};
		const auto start = std::chrono::steady_clock::now();
		std::vector<std::byte> buffer(5000);
		unsigned broken = 0, round = 0;
		channel a = where.end(0, true);

		// A second of it; longer only where the scribbler has not got its turn.
		const auto going_on = [&] {
			const auto took = std::chrono::steady_clock::now() - start;

			return took < 1s || (!broken && took < 60s);
		};
		while (going_on()) {
			std::error_code wrote, read;

			if (++round % 2) {
				a.write_some(std::span{buffer}.first(mode == channel_mode::packet ? 100 : 5000), wrote);
				a.read_some(buffer, read);
			} else {
				use_windows(a, wrote, read);
			}
			a.state();
			broken += wrote == std::errc::protocol_error || read == std::errc::protocol_error;
			for (const std::error_code &ec : {wrote, read})
				if (ec && ec != std::errc::operation_would_block) {
					std::error_code again;

					a.reconnect(again);
				}
		}
		over = true;
		scribbler.join();
		EXPECT_GT(broken, 0U);
	}
}

/* Memory that nobody seals is truncated under a guarded region. */
TEST(channel_hostile, truncated_memory)
{
	const std::string path = "/dev/shm/kvmchan-test-" + std::to_string(::getpid());
	new_region wanted;

	wanted.size = 1U << 20;
	wanted.slots.push_back({"c", slot_kind::channel, channel_mode::stream, {side_host, side_host}, {4096, 4096}});
	create_region(path, wanted);
	attach_options guarded;

	guarded.guard = true;
	channel_options options;

	options.non_blocking = true;
	{
		channel a{region::open(path, guarded), "c", options};

		EXPECT_EQ(write_error(a), std::error_code{});
		ASSERT_EQ(::truncate(path.c_str(), 0), 0);
		write_error(a);
		EXPECT_EQ(write_error(a), std::errc::no_such_device);
		EXPECT_EQ(read_error(a), std::errc::no_such_device);
	}
	::unlink(path.c_str());
	create_region(path, wanted);
	{
		channel a{region::open(path, guarded), "c", options};
		std::error_code ec;
		const auto window = a.reserve(1, ec);
		const auto ring = static_cast<off_t>(region::open(path).slots().front().offset[0]);

		/* Only what the window shows is gone. */
		ASSERT_EQ(::truncate(path.c_str(), ring), 0);
		std::ranges::fill(window, std::byte{1});
		a.commit(window.size(), ec);
		a.reserve(1, ec);
		EXPECT_EQ(ec, std::errc::no_such_device) << "a window is guarded, too";
		EXPECT_EQ(read_error(a), std::errc::no_such_device);
	}
	::unlink(path.c_str());
}

} // namespace
} // namespace kvmchan::test
