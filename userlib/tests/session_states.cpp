// SPDX-License-Identifier: MIT
// Each transition of a session, step by step.
#include <array>
#include <cerrno>

#include <gtest/gtest.h>

#include "shared_format.hpp"

namespace {

constexpr std::uint64_t ring_size = 4096;

/* The shared words of one channel. */
struct shared {
	kvmchan_control control{};
	std::array<__le64, 2> reaped{};
};

/* One side with its private state. */
struct side {
	side(shared &where, unsigned which) : memory{where}, me{which}
	{
		s.own = &where.control.side[me].session;
		s.own_index = &where.control.side[me].index;
		s.peer = &where.control.side[1 - me].session;
		s.peer_index = &where.control.side[1 - me].index;
		s.own_reaped = &where.reaped[me];
		s.peer_reaped = &where.reaped[1 - me];
		tx.size = rx.size = ring_size;
		tx.own = &where.control.side[me].index;
		rx.own = &where.control.side[me].index;
		tx.peer = &where.control.side[1 - me].index;
		rx.peer = &where.control.side[1 - me].index;
		attached = kvmchan_session_attach(&s, &tx);
	}

	side &open()
	{
		kvmchan_session_open(&s, &rx, &tx);
		return *this;
	}

	unsigned sync_rx() { return kvmchan_session_sync_rx(&s, &rx); }
	unsigned sync_tx() { return kvmchan_session_sync_tx(&s, &tx); }
	void sync()
	{
		sync_rx();
		sync_tx();
	}

	/* Publishes without copying: these tests are about the words. */
	bool write(std::uint64_t bytes)
	{
		const unsigned todo = sync_tx();

		if ((todo & (KVMCHAN_END | KVMCHAN_HOLD)) || kvmchan_tx_refresh(&tx) || kvmchan_tx_free(&tx) < bytes)
			return false;
		kvmchan_tx_commit(&tx, bytes);
		return true;
	}

	std::uint64_t read()
	{
		sync_rx();
		kvmchan_rx_refresh(&rx);
		const std::uint64_t used = kvmchan_rx_used(&rx);

		kvmchan_rx_commit(&rx, used);
		return used;
	}

	std::uint64_t epoch() const { return kvmchan_link_epoch(s.link); }
	bool connected() const { return s.phase == KVMCHAN_PHASE_PAIRED && s.confirmed && !s.peer_gone; }

	shared &memory;
	unsigned me;
	kvmchan_session s{};
	kvmchan_rx rx{};
	kvmchan_tx tx{};
	unsigned attached = 0;
};

void connect(side &a, side &b)
{
	a.sync();
	b.sync();
	a.sync();
	ASSERT_TRUE(a.connected());
	ASSERT_TRUE(b.connected());
}

class session_states : public testing::TestWithParam<unsigned> {
protected:
	/* Every case is played with either side as the first one. */
	shared memory;
	side a{memory, GetParam()};
	side b{memory, 1 - GetParam()};
};

TEST_P(session_states, nobody_is_there)
{
	a.open();
	EXPECT_FALSE(a.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(a.s.phase, KVMCHAN_PHASE_WAITING);
	EXPECT_EQ(a.epoch(), 1U);
}

TEST_P(session_states, opening_and_pairing_ring_the_peer)
{
	EXPECT_EQ(kvmchan_session_open(&a.s, &a.rx, &a.tx), KVMCHAN_RING_PEER);
	EXPECT_EQ(kvmchan_session_open(&b.s, &b.rx, &b.tx), KVMCHAN_RING_PEER);
	EXPECT_EQ(a.sync_rx() & (KVMCHAN_RING_PEER | KVMCHAN_CHANGED), KVMCHAN_RING_PEER | KVMCHAN_CHANGED);
	EXPECT_FALSE(a.s.confirmed);
	EXPECT_EQ(b.sync_rx() & KVMCHAN_RING_PEER, KVMCHAN_RING_PEER);
	EXPECT_TRUE(b.s.confirmed);
	EXPECT_EQ(a.sync_rx(), KVMCHAN_CHANGED);
	EXPECT_TRUE(a.connected());
	EXPECT_FALSE(a.sync_rx() & KVMCHAN_END);
}

TEST_P(session_states, close_ends_both_directions)
{
	connect(a.open(), b.open());
	EXPECT_EQ(kvmchan_session_close(&a.s), KVMCHAN_RING_PEER);
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_TRUE(b.sync_tx() & KVMCHAN_END);
}

TEST_P(session_states, half_close_ends_one_direction)
{
	connect(a.open(), b.open());
	EXPECT_EQ(kvmchan_session_flags(&a.s, KVMCHAN_LINK_NO_WRITER), KVMCHAN_RING_PEER);
	EXPECT_EQ(kvmchan_session_flags(&a.s, KVMCHAN_LINK_NO_WRITER), 0U);
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_FALSE(b.sync_tx() & KVMCHAN_END);
	EXPECT_TRUE(b.connected());
	kvmchan_session_flags(&a.s, KVMCHAN_LINK_NO_WRITER | KVMCHAN_LINK_NO_READER);
	EXPECT_TRUE(b.sync_tx() & KVMCHAN_END);
}

TEST_P(session_states, what_was_written_is_drained_after_close)
{
	connect(a.open(), b.open());
	ASSERT_TRUE(a.write(100));
	kvmchan_session_close(&a.s);
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.read(), 100U);
	EXPECT_EQ(b.read(), 0U);
}

TEST_P(session_states, drained_after_the_peer_opened_again)
{
	connect(a.open(), b.open());
	ASSERT_TRUE(a.write(100));
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_FALSE(a.write(1)) << "the peer still reads the former session";
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.s.phase, KVMCHAN_PHASE_OVER);
	EXPECT_EQ(b.read(), 100U);
	kvmchan_session_close(&b.s);
	connect(a, b.open());
	ASSERT_TRUE(a.write(7));
	EXPECT_EQ(b.read(), 7U);
}

TEST_P(session_states, hold_ends_when_the_peer_leaves)
{
	connect(a.open(), b.open());
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_TRUE(a.sync_tx() & KVMCHAN_HOLD);
	kvmchan_session_close(&b.s);
	EXPECT_FALSE(a.sync_tx() & KVMCHAN_HOLD);
	EXPECT_TRUE(a.write(5));
	b.open();
	EXPECT_EQ(b.read(), 5U);
}

TEST_P(session_states, hold_ends_when_the_peer_is_dead)
{
	connect(a.open(), b.open());
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_TRUE(a.sync_tx() & KVMCHAN_HOLD);
	memory.reaped[b.me] = b.epoch();
	EXPECT_FALSE(a.sync_tx() & KVMCHAN_HOLD);
}

TEST_P(session_states, backlog_waits_for_the_first_that_comes)
{
	a.open();
	ASSERT_TRUE(a.write(ring_size));
	EXPECT_FALSE(a.write(1));
	b.open();
	EXPECT_EQ(b.read(), ring_size);
	EXPECT_TRUE(a.write(1));
}

TEST_P(session_states, closed_before_the_peer_came_with_data)
{
	a.open();
	ASSERT_TRUE(a.write(10));
	kvmchan_session_close(&a.s);
	b.open();
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.read(), 10U);
	EXPECT_TRUE(b.sync_tx() & KVMCHAN_END);
}

TEST_P(session_states, closed_before_the_peer_came_without_data)
{
	a.open();
	kvmchan_session_close(&a.s);
	b.open();
	EXPECT_FALSE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.s.phase, KVMCHAN_PHASE_WAITING);
	connect(a.open(), b);
}

TEST_P(session_states, backlog_is_dropped_when_its_writer_opens_again)
{
	a.open();
	ASSERT_TRUE(a.write(10));
	kvmchan_session_close(&a.s);
	a.open();
	ASSERT_TRUE(a.write(3));
	b.open();
	EXPECT_EQ(b.read(), 3U);
}

TEST_P(session_states, a_session_is_taken_once)
{
	a.open();
	ASSERT_TRUE(a.write(10));
	kvmchan_session_close(&a.s);
	b.open();
	EXPECT_EQ(b.read(), 10U);
	kvmchan_session_close(&b.s);
	b.open();
	EXPECT_FALSE(b.sync_rx() & KVMCHAN_END) << "spent: wait for the next one";
	EXPECT_EQ(b.read(), 0U);
	connect(a.open(), b);
}

TEST_P(session_states, quick_reopen_ends_the_former_session)
{
	connect(a.open(), b.open());
	kvmchan_session_close(&b.s);
	b.open();
	EXPECT_TRUE(a.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(a.s.phase, KVMCHAN_PHASE_OVER);
	EXPECT_TRUE(a.sync_tx() & KVMCHAN_END);
	kvmchan_session_close(&a.s);
	connect(a.open(), b);
}

TEST_P(session_states, refused_by_a_peer_that_is_with_a_former_session)
{
	a.open();
	b.open();
	b.sync(); /* pairs with a's first session */
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_EQ(a.sync_rx(), KVMCHAN_CHANGED);
	EXPECT_EQ(a.s.phase, KVMCHAN_PHASE_WAITING) << "b has not noticed yet";
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	kvmchan_session_close(&b.s);
	connect(a, b.open());
}

TEST_P(session_states, taken_by_one_that_is_gone)
{
	a.open();
	b.open();
	a.sync(); /* pairs with b */
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END) << "or each would wait for the other one";
	EXPECT_EQ(b.s.phase, KVMCHAN_PHASE_OVER);
	EXPECT_FALSE(a.sync_rx() & KVMCHAN_END);
	kvmchan_session_close(&b.s);
	connect(a, b.open());
}

TEST_P(session_states, crash_is_an_end_when_it_is_declared)
{
	connect(a.open(), b.open());
	ASSERT_TRUE(a.write(10));
	EXPECT_FALSE(b.sync_rx() & KVMCHAN_END);
	memory.reaped[a.me] = a.epoch();
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.read(), 10U);
	EXPECT_TRUE(b.sync_tx() & KVMCHAN_END);
}

TEST_P(session_states, crash_is_an_end_when_the_side_is_taken_over)
{
	connect(a.open(), b.open());
	ASSERT_TRUE(a.write(10));
	side again{memory, a.me};
	EXPECT_EQ(again.attached, KVMCHAN_RING_PEER);
	EXPECT_TRUE(b.sync_rx() & KVMCHAN_END);
	EXPECT_EQ(b.read(), 10U);
	kvmchan_session_close(&b.s);
	again.open();
	EXPECT_EQ(again.epoch(), a.epoch() + 2);
	connect(again, b.open());
	ASSERT_TRUE(again.write(4));
	EXPECT_EQ(b.read(), 4U);
}

/* The word stays as it is; but who closed may have died before it rang. */
TEST_P(session_states, a_side_that_was_closed_is_taken_over)
{
	connect(a.open(), b.open());
	kvmchan_session_close(&a.s);
	side again{memory, a.me};
	EXPECT_EQ(again.attached, KVMCHAN_RING_PEER);
	EXPECT_EQ(kvmchan_link_epoch(again.s.link), a.epoch());
}

TEST_P(session_states, what_a_dead_side_left_is_not_taken_by_who_was_not_paired)
{
	a.open();
	ASSERT_TRUE(a.write(10));
	side again{memory, a.me};
	b.open();
	EXPECT_EQ(b.read(), 0U);
	again.open();
	connect(again, b);
	ASSERT_TRUE(again.write(2));
	EXPECT_EQ(b.read(), 2U);
}

TEST_P(session_states, declared_dead_by_mistake)
{
	connect(a.open(), b.open());
	memory.reaped[a.me] = a.epoch();
	EXPECT_TRUE(a.sync_rx() & KVMCHAN_END);
	EXPECT_TRUE(a.sync_tx() & KVMCHAN_END);
	EXPECT_FALSE(a.rx.live);
	kvmchan_session_close(&a.s);
	a.open();
	EXPECT_FALSE(kvmchan_epoch_reaped(memory.reaped[a.me], a.epoch()));
}

TEST_P(session_states, epochs_go_on_when_the_link_word_was_lost)
{
	memory.reaped[a.me] = 41;
	memory.control.side[a.me].session.link = 0;
	side again{memory, a.me};
	again.open();
	EXPECT_EQ(again.epoch(), 42U);
}

TEST_P(session_states, epochs_wrap_around_zero)
{
	memory.control.side[a.me].session.link = KVMCHAN_EPOCH_MASK;
	side again{memory, a.me};
	again.open();
	EXPECT_EQ(again.epoch(), 1U);
	connect(again, b.open());
}

TEST_P(session_states, reaped_is_serial_number_order)
{
	EXPECT_FALSE(kvmchan_epoch_reaped(0, 5));
	EXPECT_TRUE(kvmchan_epoch_reaped(5, 5));
	EXPECT_TRUE(kvmchan_epoch_reaped(6, 5));
	EXPECT_FALSE(kvmchan_epoch_reaped(5, 6));
	EXPECT_TRUE(kvmchan_epoch_reaped(2, KVMCHAN_EPOCH_MASK));
	EXPECT_FALSE(kvmchan_epoch_reaped(KVMCHAN_EPOCH_MASK, 2));
}

/* Whatever the peer's words say, indices stay inside the ring and calls return. */
TEST_P(session_states, hostile_words)
{
	std::uint64_t random = 88172645463325252U + GetParam();
	const auto next = [&] {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		return random;
	};

	for (int round = 0; round < 20'000; ++round) {
		if (a.s.phase == KVMCHAN_PHASE_CLOSED || next() % 16 == 0)
			a.open();
		auto &theirs = memory.control.side[b.me];
		/* Near the truth is more dangerous than far from it. */
		theirs.session.link = kvmchan_link_make(next() % 4 ? next() % 8 : next() & KVMCHAN_EPOCH_MASK,
		                                        next() % 3 ? a.epoch() : next() & KVMCHAN_EPOCH_MASK,
		                                        next() & (15ULL << 60));
		theirs.session.tx_start = next() % 2 ? a.rx.cons + next() % 8192 : next();
		theirs.index.tx_prod = next() % 2 ? a.rx.cons + next() % 8192 : next();
		theirs.index.rx_cons = next() % 2 ? a.tx.prod - next() % 8192 : next();
		memory.reaped[next() % 2] = next() % 4 ? 0 : next();
		a.sync();
		const int read_error = kvmchan_rx_refresh(&a.rx), write_error = kvmchan_tx_refresh(&a.tx);

		ASSERT_LE(kvmchan_rx_used(&a.rx), ring_size);
		ASSERT_LE(kvmchan_tx_free(&a.tx), ring_size);
		if (!read_error)
			kvmchan_rx_commit(&a.rx, kvmchan_rx_used(&a.rx) / 2);
		if (!write_error)
			kvmchan_tx_commit(&a.tx, kvmchan_tx_free(&a.tx) / 2);
		if (read_error || write_error)
			kvmchan_session_close(&a.s);
	}
}

INSTANTIATE_TEST_SUITE_P(first, session_states, testing::Values(0U, 1U));

TEST(session_bells, word_and_its_parts)
{
	const std::uint64_t bell = kvmchan_bell_make(65535, 513, KVMCHAN_BELL_RINGABLE);

	EXPECT_EQ(kvmchan_bell_peer(bell), 65535U);
	EXPECT_EQ(kvmchan_bell_vector(bell), 513U);
	EXPECT_EQ(kvmchan_bell_peer(~0ULL), 65535U);
}

TEST(session_bells, only_two_that_ring_need_not_poll)
{
	shared memory;
	side a{memory, 0};
	const std::uint64_t ours = kvmchan_bell_make(1, 1, KVMCHAN_BELL_RINGABLE | KVMCHAN_BELL_RINGS);

	EXPECT_FALSE(kvmchan_session_rung(&a.s, ours));
	memory.control.side[1].session.bell = kvmchan_bell_make(2, 1, KVMCHAN_BELL_RINGABLE);
	EXPECT_FALSE(kvmchan_session_rung(&a.s, ours));
	memory.control.side[1].session.bell |= KVMCHAN_BELL_RINGS;
	EXPECT_TRUE(kvmchan_session_rung(&a.s, ours));
	EXPECT_FALSE(kvmchan_session_rung(&a.s, 0));
}

} // namespace
