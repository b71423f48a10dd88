// SPDX-License-Identifier: MIT
// The ring: windows, indices, events, records, and peers that lie.
#include <cerrno>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "ring_copy.hpp"
#include "shared_format.hpp"

namespace {

using namespace kvmchan::detail;

/* One ring with both its ends, live from an index on. */
struct ring {
	explicit ring(std::uint64_t ring_size = 4096, std::uint64_t start = 0) : data(ring_size)
	{
		tx.size = rx.size = ring_size;
		tx.prod = tx.cons = rx.prod = rx.cons = start;
		tx.own = &producer;
		rx.peer = &producer;
		tx.peer = &consumer;
		rx.own = &consumer;
		tx.live = rx.live = true;
		producer.tx_prod = start;
		consumer.rx_cons = start;
		producer.tx_event = start - 1;
		consumer.rx_event = start - 1;
	}

	bool put(std::uint64_t bytes) { return kvmchan_tx_commit(&tx, bytes); }
	bool take(std::uint64_t bytes) { return kvmchan_rx_commit(&rx, bytes); }

	kvmchan_index_page producer{}, consumer{};
	std::vector<std::byte> data;
	kvmchan_tx tx{};
	kvmchan_rx rx{};
};

TEST(ring_indices, empty_and_full)
{
	ring r;

	EXPECT_EQ(kvmchan_tx_free(&r.tx), 4096U);
	EXPECT_EQ(kvmchan_rx_refresh(&r.rx), 0);
	EXPECT_EQ(kvmchan_rx_used(&r.rx), 0U);
	r.put(4096);
	EXPECT_EQ(kvmchan_tx_free(&r.tx), 0U);
	EXPECT_EQ(kvmchan_rx_refresh(&r.rx), 0);
	EXPECT_EQ(kvmchan_rx_used(&r.rx), 4096U);
	r.take(1);
	EXPECT_EQ(kvmchan_tx_refresh(&r.tx), 0);
	EXPECT_EQ(kvmchan_tx_free(&r.tx), 1U);
}

TEST(ring_indices, windows_wrap_once)
{
	ring r{4096, 4000};
	kvmchan_window w;

	kvmchan_tx_window(&r.tx, 0, 4096, &w);
	EXPECT_EQ(w.offset, 4000U);
	EXPECT_EQ(w.first, 96U);
	EXPECT_EQ(w.second, 4000U);
	kvmchan_tx_window(&r.tx, 96, 10, &w);
	EXPECT_EQ(w.offset, 0U);
	EXPECT_EQ(w.first, 10U);
	EXPECT_EQ(w.second, 0U);
	kvmchan_rx_window(&r.rx, 0, 96, &w);
	EXPECT_EQ(w.first, 96U);
	EXPECT_EQ(w.second, 0U);
}

TEST(ring_indices, copies_wrap)
{
	ring r{4096, 4090};
	kvmchan_window w;
	std::vector<std::byte> from(4096), to(4096);

	for (std::size_t i = 0; i < from.size(); ++i)
		from[i] = static_cast<std::byte>(i * 7);
	kvmchan_tx_window(&r.tx, 0, from.size(), &w);
	copy_in(r.data, w, from.data());
	kvmchan_rx_window(&r.rx, 0, to.size(), &w);
	copy_out(r.data, w, to.data());
	EXPECT_EQ(from, to);
	EXPECT_EQ(r.data[4090], from[0]);
	EXPECT_EQ(r.data[0], from[6]);
}

TEST(ring_indices, indices_pass_the_end_of_64_bits)
{
	ring r{4096, ~std::uint64_t{0} - 9};

	r.put(4096);
	EXPECT_EQ(kvmchan_rx_refresh(&r.rx), 0);
	EXPECT_EQ(kvmchan_rx_used(&r.rx), 4096U);
	r.take(4096);
	EXPECT_EQ(kvmchan_tx_refresh(&r.tx), 0);
	EXPECT_EQ(kvmchan_tx_free(&r.tx), 4096U);
	EXPECT_EQ(r.tx.prod, 4086U);
}

TEST(ring_indices, crossing)
{
	EXPECT_TRUE(kvmchan_crossed(10, 10, 11));
	EXPECT_TRUE(kvmchan_crossed(10, 5, 20));
	EXPECT_FALSE(kvmchan_crossed(10, 5, 10));
	EXPECT_FALSE(kvmchan_crossed(10, 11, 20));
	EXPECT_FALSE(kvmchan_crossed(10, 10, 10));
	EXPECT_TRUE(kvmchan_crossed(~std::uint64_t{0}, ~std::uint64_t{0}, 1));
}

TEST(ring_indices, a_reader_is_rung_when_there_is_enough)
{
	ring r;

	EXPECT_EQ(kvmchan_rx_arm(&r.rx, 10), 0);
	EXPECT_FALSE(r.put(9));
	EXPECT_TRUE(r.put(1));
	EXPECT_FALSE(r.put(1)) << "once is enough";
	EXPECT_EQ(kvmchan_rx_arm(&r.rx, 10), 1);
}

TEST(ring_indices, a_writer_is_rung_when_there_is_room)
{
	ring r;

	r.put(4096);
	kvmchan_rx_refresh(&r.rx);
	EXPECT_EQ(kvmchan_tx_arm(&r.tx, 100), 0);
	EXPECT_FALSE(r.take(99));
	EXPECT_TRUE(r.take(1));
	EXPECT_FALSE(r.take(1));
	EXPECT_EQ(kvmchan_tx_arm(&r.tx, 100), 1);
}

TEST(ring_indices, waiting_for_the_whole_ring)
{
	ring r;

	r.put(1);
	kvmchan_rx_refresh(&r.rx);
	EXPECT_EQ(kvmchan_tx_arm(&r.tx, 4096), 0);
	EXPECT_TRUE(r.take(1));
	EXPECT_EQ(kvmchan_tx_arm(&r.tx, 4096), 1);
}

TEST(ring_indices, every_want_is_rung_in_every_state)
{
	for (std::uint64_t start : {std::uint64_t{0}, ~std::uint64_t{0} - 5}) {
		for (std::uint64_t used = 0; used <= 16; ++used) {
			for (std::uint64_t want = 1; want <= 16; ++want) {
				ring r{16, start};

				r.put(used);
				kvmchan_rx_refresh(&r.rx);
				const bool room = 16 - used >= want;

				ASSERT_EQ(kvmchan_tx_arm(&r.tx, want), room);
				for (std::uint64_t i = 1; i <= used; ++i)
					ASSERT_EQ(r.take(1), 16 - used + i == want) << used << ' ' << want << ' ' << i;
			}
		}
	}
}

TEST(ring_indices, a_consumer_that_goes_back_or_ahead)
{
	for (const std::uint64_t lie : {std::uint64_t{99}, std::uint64_t{201}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
		ring r;

		r.put(200);
		r.consumer.rx_cons = 100;
		ASSERT_EQ(kvmchan_tx_refresh(&r.tx), 0);
		r.consumer.rx_cons = lie;
		EXPECT_EQ(kvmchan_tx_refresh(&r.tx), -EPROTO) << lie;
		EXPECT_EQ(kvmchan_tx_free(&r.tx), 4096U - 100);
		r.consumer.rx_cons = 150;
		EXPECT_EQ(kvmchan_tx_refresh(&r.tx), -EPROTO) << "sticky";
		EXPECT_EQ(kvmchan_tx_arm(&r.tx, 1), -EPROTO);
	}
}

TEST(ring_indices, a_producer_that_goes_back_or_ahead)
{
	for (const std::uint64_t lie : {std::uint64_t{99}, std::uint64_t{4097}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
		ring r;

		r.producer.tx_prod = 100;
		ASSERT_EQ(kvmchan_rx_refresh(&r.rx), 0);
		r.producer.tx_prod = lie;
		EXPECT_EQ(kvmchan_rx_refresh(&r.rx), -EPROTO) << lie;
		EXPECT_EQ(kvmchan_rx_used(&r.rx), 100U);
		r.producer.tx_prod = 100;
		EXPECT_EQ(kvmchan_rx_refresh(&r.rx), -EPROTO) << "sticky";
		EXPECT_EQ(kvmchan_rx_arm(&r.rx, 1), -EPROTO);
	}
}

TEST(ring_indices, a_full_ring_is_no_lie)
{
	ring r;

	r.producer.tx_prod = 4096;
	EXPECT_EQ(kvmchan_rx_refresh(&r.rx), 0);
	r.put(4096);
	r.consumer.rx_cons = 4096;
	EXPECT_EQ(kvmchan_tx_refresh(&r.tx), 0);
}

TEST(ring_indices, before_pairing_the_peer_is_not_looked_at)
{
	ring r;

	r.tx.live = r.rx.live = false;
	r.consumer.rx_cons = 12345;
	r.producer.tx_prod = 999999;
	EXPECT_EQ(kvmchan_tx_refresh(&r.tx), 0);
	EXPECT_EQ(kvmchan_rx_refresh(&r.rx), 0);
	EXPECT_EQ(kvmchan_tx_free(&r.tx), 4096U);
	EXPECT_EQ(kvmchan_rx_used(&r.rx), 0U);
}

TEST(ring_records, space)
{
	EXPECT_EQ(kvmchan_record_space(1), 16U);
	EXPECT_EQ(kvmchan_record_space(8), 16U);
	EXPECT_EQ(kvmchan_record_space(9), 24U);
	EXPECT_EQ(kvmchan_record_max(4096), 4088U);
	EXPECT_EQ(kvmchan_record_space(kvmchan_record_max(4096)), 4096U);
}

TEST(ring_records, lengths_that_lie)
{
	for (const std::uint32_t lie : {0U, 17U, 4089U, 0x80000000U, 0xffffffffU, 0xfffffff8U}) {
		ring r;
		const kvmchan_record head{lie, 0};

		r.put(24);
		kvmchan_rx_refresh(&r.rx);
		EXPECT_EQ(kvmchan_rx_record(&r.rx, &head), -EPROTO) << lie;
		EXPECT_EQ(kvmchan_rx_refresh(&r.rx), -EPROTO) << "sticky";
	}
}

TEST(ring_records, lengths_that_do_not)
{
	for (const std::uint32_t length : {1U, 9U, 16U}) {
		ring r;
		const kvmchan_record head{length, 0xffffffff};

		r.put(24);
		kvmchan_rx_refresh(&r.rx);
		EXPECT_EQ(kvmchan_rx_record(&r.rx, &head), length);
	}
}

} // namespace
