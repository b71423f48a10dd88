// SPDX-License-Identifier: MIT
// Two sides that open, write, read, close and die at random, interleaved at
// every access to shared memory, with every byte accounted for.
#define KVMCHAN_PLATFORM "session_platform.h"
#include "session.h"

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <ucontext.h>
#ifdef KVMCHAN_SANITIZE_ADDRESS
#include <sanitizer/common_interface_defs.h>
#endif

#include <gtest/gtest.h>

namespace {

/* Small, so that it wraps and fills all the time. */
constexpr std::uint64_t ring_size = 64;
constexpr std::uint64_t word_size = 8;

/* A side that dies unwinds to its main loop by this. */
struct death {};

struct side;

struct world {
	explicit world(std::uint64_t seed) : random{seed} {}

	bool chance(unsigned one_in) { return random() % one_in == 0; }

	std::mt19937_64 random;
	kvmchan_control control{};
	std::array<__le64, 2> reaped{};
	std::array<std::array<std::uint64_t, ring_size / word_size>, 2> ring{};
	std::array<std::unique_ptr<side>, 2> sides;
	std::array<ucontext_t, 2> contexts{};
	ucontext_t main{};
	std::uint64_t steps = 0;
	std::uint64_t steps_max = 0;
	unsigned running = 0;
	std::array<bool, 2> may_die{};
	bool stopping = false;
	std::string failure;

	/* What was seen, so that the test knows that it tested something. */
	std::uint64_t words_read = 0, ends = 0, full_ends = 0, deaths = 0, holds = 0, reaps = 0;
};

world *now = nullptr;
/* Of a test that is no random walk: what it does at each access. */
std::function<void()> instead;

/* Tells AddressSanitizer, if it is there, which stack runs. */
void switch_to(ucontext_t &from, ucontext_t &to)
{
#ifdef KVMCHAN_SANITIZE_ADDRESS
	void *fake = nullptr;

	__sanitizer_start_switch_fiber(&fake, to.uc_stack.ss_sp, to.uc_stack.ss_size);
	swapcontext(&from, &to);
	__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
	swapcontext(&from, &to);
#endif
}

} // namespace

void model_step()
{
	if (instead) {
		instead();
		return;
	}
	world &w = *now;

	if (++w.steps > w.steps_max)
		w.stopping = true;
	if (w.may_die[w.running] && w.chance(400))
		throw death{};
	if (w.stopping || w.chance(3)) {
		const unsigned me = w.running;

		w.running = 1 - me;
		switch_to(w.contexts[me], w.stopping ? w.main : w.contexts[1 - me]);
	}
}

namespace {

/* A session as its writer knows it. */
struct sent {
	std::uint64_t published = 0;
	std::uint64_t in_flight = 0;
	bool superseded = false;             /* the next session began to open */
	std::uint64_t paired_with = 0;       /* the peer's session, or 0 */
	std::optional<std::uint64_t> reader; /* the reader's session that took it */
};

struct side {
	side(world &where, unsigned which) : w{where}, me{which} {}

	void fail(const std::string &text)
	{
		if (w.failure.empty())
			w.failure = "side " + std::to_string(me) + ", step " + std::to_string(w.steps) + ": " + text;
		w.stopping = true;
		model_step();
	}

	void attach()
	{
		s = {};
		tx = {};
		rx = {};
		s.own = &w.control.side[me].session;
		s.own_index = &w.control.side[me].index;
		s.peer = &w.control.side[1 - me].session;
		s.peer_index = &w.control.side[1 - me].index;
		s.own_reaped = &w.reaped[me];
		s.peer_reaped = &w.reaped[1 - me];
		tx.size = rx.size = ring_size;
		tx.own = &w.control.side[me].index;
		rx.own = &w.control.side[me].index;
		tx.peer = &w.control.side[1 - me].index;
		rx.peer = &w.control.side[1 - me].index;
		supersede();
		kvmchan_session_attach(&s, &tx);
		attached = true;
	}

	/* From here on a peer may find that the last session's bytes are dropped. */
	void supersede()
	{
		if (mine)
			mine->superseded = true;
	}

	void open()
	{
		supersede();
		kvmchan_session_open(&s, &rx, &tx);
		epoch = kvmchan_link_epoch(s.link);
		if (history.contains(epoch) && history[epoch].published)
			fail("epoch used twice");
		history[epoch] = {};
		mine = &history[epoch];
		read_from.reset();
		read_count = 0;
		ended = false;
	}

	void write()
	{
		const unsigned todo = kvmchan_session_sync_tx(&s, &tx);

		if (todo & KVMCHAN_HOLD)
			++w.holds;
		if (todo & (KVMCHAN_END | KVMCHAN_HOLD))
			return;
		if (s.link & KVMCHAN_LINK_NO_WRITER)
			return;
		if (kvmchan_tx_refresh(&tx))
			fail("honest peer refused by the producer");
		std::uint64_t room = kvmchan_tx_free(&tx) / word_size;
		const std::uint64_t n = std::min<std::uint64_t>(room, 1 + w.random() % 5);

		for (std::uint64_t i = 0; i < n; ++i) {
			kvmchan_window at;

			kvmchan_tx_window(&tx, i * word_size, word_size, &at);
			model_step();
			w.ring[me][at.offset / word_size] = epoch << 32 | (mine->published + i);
		}
		if (!n)
			return;
		mine->in_flight = n;
		kvmchan_tx_commit(&tx, n * word_size);
		mine->published += n;
		mine->in_flight = 0;
	}

	void take(std::uint64_t word)
	{
		const std::uint64_t from = word >> 32, number = word & 0xffffffff;
		side &peer = *w.sides[1 - me];

		if (from != kvmchan_link_acked(s.link))
			fail("a byte of session " + std::to_string(from) + ", paired with " +
			     std::to_string(kvmchan_link_acked(s.link)));
		if (!read_from) {
			read_from = from;
			auto &taken = peer.history[from].reader;

			if (taken && *taken != epoch)
				fail("session " + std::to_string(from) + " was read by two sessions");
			taken = epoch;
		}
		if (*read_from != from)
			fail("two sessions in one stream");
		if (number != read_count)
			fail("word " + std::to_string(number) + " instead of " + std::to_string(read_count));
		++read_count;
		++w.words_read;
	}

	void drain()
	{
		const std::uint64_t n = std::min<std::uint64_t>(kvmchan_rx_used(&rx) / word_size, 1 + w.random() % 5);
		/* No destructor: the stack that it is on may be thrown away. */
		std::array<std::uint64_t, 5> copy;

		for (std::uint64_t i = 0; i < n; ++i) {
			kvmchan_window at;

			kvmchan_rx_window(&rx, i * word_size, word_size, &at);
			model_step();
			copy[i] = w.ring[1 - me][at.offset / word_size];
		}
		for (std::uint64_t i = 0; i < n; ++i)
			take(copy[i]);
		kvmchan_rx_commit(&rx, n * word_size);
	}

	void read()
	{
		if (kvmchan_rx_refresh(&rx))
			fail("honest peer refused by the consumer");
		if (!kvmchan_rx_used(&rx)) {
			const unsigned todo = kvmchan_session_sync_rx(&s, &rx);

			if (kvmchan_rx_refresh(&rx))
				fail("honest peer refused by the consumer");
			if (!kvmchan_rx_used(&rx)) {
				if (todo & KVMCHAN_END)
					check_end();
				return;
			}
		}
		if (ended)
			fail("bytes after the end");
		drain();
	}

	/* All that the peer's session published was read, if it was ours to read. */
	void check_end()
	{
		if (ended)
			return;
		ended = true;
		++w.ends;
		if (!(s.link & KVMCHAN_LINK_PAIRED))
			return;
		const sent &theirs = w.sides[1 - me]->history[kvmchan_link_acked(s.link)];

		/* Refused: it had paired with a session of ours that is no more. */
		if (!rx.live && w.sides[1 - me]->paired_with(kvmchan_link_acked(s.link)) != epoch)
			return;
		if (!read_count && theirs.superseded)
			return;
		if (read_count != theirs.published && read_count != theirs.published + theirs.in_flight)
			fail("the end after " + std::to_string(read_count) + " of " + std::to_string(theirs.published) +
			     " words");
		if (read_count)
			++w.full_ends;
	}

	std::uint64_t paired_with(std::uint64_t session)
	{
		if (session == epoch && (s.link & KVMCHAN_LINK_PAIRED))
			return kvmchan_link_acked(s.link);
		return history[session].paired_with;
	}

	void note_pairing()
	{
		if (mine && epoch == kvmchan_link_epoch(s.link) && (s.link & KVMCHAN_LINK_PAIRED))
			mine->paired_with = kvmchan_link_acked(s.link);
	}

	void live_a_little()
	{
		if (!attached)
			attach();
		if (s.phase == KVMCHAN_PHASE_CLOSED) {
			if (w.chance(4))
				open();
			else
				model_step();
			return;
		}
		note_pairing();
		const std::uint64_t choice = w.random() % 24;

		if (choice == 0)
			kvmchan_session_close(&s);
		else if (choice == 1)
			kvmchan_session_flags(&s, (s.link & KVMCHAN_LINK_NO_READER) | KVMCHAN_LINK_NO_WRITER);
		else if (choice <= 12)
			write();
		else
			read();
	}

	/* What the kernel and the manager do after a process died. */
	void die()
	{
		++w.deaths;
		attached = false;
		w.may_die[me] = false;
		if (w.chance(2)) {
			const std::uint64_t link = w.control.side[me].session.link;

			if (link & KVMCHAN_LINK_OPEN) {
				w.reaped[me] = kvmchan_link_epoch(link);
				++w.reaps;
			}
		}
		for (std::uint64_t i = w.random() % 60; i; --i)
			model_step();
		w.may_die[me] = deadly;
	}

	void run()
	{
		for (;;) {
			try {
				w.may_die[me] = deadly;
				live_a_little();
			} catch (const death &) {
				die();
			}
		}
	}

	world &w;
	unsigned me;
	bool deadly = false;
	bool attached = false;
	kvmchan_session s{};
	kvmchan_tx tx{};
	kvmchan_rx rx{};
	std::uint64_t epoch = 0;
	std::map<std::uint64_t, sent> history;
	sent *mine = nullptr;
	std::optional<std::uint64_t> read_from;
	std::uint64_t read_count = 0;
	bool ended = false;
};

void side_main(int which)
{
#ifdef KVMCHAN_SANITIZE_ADDRESS
	const void *bottom = nullptr;
	std::size_t size = 0;

	__sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
	/* Who starts us first came from the main stack: remember where that is. */
	if (!now->main.uc_stack.ss_sp) {
		now->main.uc_stack.ss_sp = const_cast<void *>(bottom);
		now->main.uc_stack.ss_size = size;
	}
#endif
	now->sides[static_cast<unsigned>(which)]->run();
}

/* Runs both sides for so many accesses; the sides' stacks are thrown away. */
void run_world(world &w, std::uint64_t steps, bool deadly)
{
	static std::array<std::vector<char>, 2> stacks{std::vector<char>(256 * 1024), std::vector<char>(256 * 1024)};

	now = &w;
	w.steps_max = steps;
	for (unsigned i = 0; i < 2; ++i) {
		w.sides[i] = std::make_unique<side>(w, i);
		w.sides[i]->deadly = deadly;
		getcontext(&w.contexts[i]);
		w.contexts[i].uc_stack.ss_sp = stacks[i].data();
		w.contexts[i].uc_stack.ss_size = stacks[i].size();
		w.contexts[i].uc_link = nullptr;
		makecontext(&w.contexts[i], reinterpret_cast<void (*)()>(side_main), 1, static_cast<int>(i));
	}
	w.main.uc_stack = {};
	switch_to(w.main, w.contexts[0]);
}

constexpr std::uint64_t steps = 200'000;

class session_model : public testing::TestWithParam<bool> {};

TEST_P(session_model, no_byte_is_lost_doubled_or_mixed_up)
{
	std::uint64_t words = 0, full_ends = 0, deaths = 0, holds = 0, reaps = 0;

	for (std::uint64_t seed = 1; seed <= 30; ++seed) {
		world w{seed};

		run_world(w, steps, GetParam());
		ASSERT_EQ(w.failure, "") << "seed " << seed;
		words += w.words_read;
		full_ends += w.full_ends;
		deaths += w.deaths;
		holds += w.holds;
		reaps += w.reaps;
	}
	RecordProperty("words", std::to_string(words));
	EXPECT_GT(words, 10'000U);
	EXPECT_GT(full_ends, 300U);
	EXPECT_GT(holds, 100U);
	if (GetParam()) {
		EXPECT_GT(deaths, 1000U);
		EXPECT_GT(reaps, 300U);
	}
}

INSTANTIATE_TEST_SUITE_P(sides, session_model, testing::Bool(),
                         [](const auto &parameter) { return parameter.param ? "that_die" : "that_live"; });

/* What a peer does at access @p number of ours; whether there was one. */
template <typename Ours, typename Theirs>
bool at_access(unsigned number, Ours ours, Theirs theirs)
{
	unsigned count = 0;
	bool theirs_run = false;

	instead = [&] {
		if (theirs_run || count++ != number)
			return;
		theirs_run = true;
		theirs();
	};
	ours();
	instead = [] {};
	return theirs_run;
}

/*
 * Whoever takes a dead side over is closed for a moment, and may have opened,
 * paired and written before the other one, who had looked in that moment, goes
 * on: nobody has gone, and nobody may be told so.
 */
TEST(session_model, a_look_that_lasts_from_take_over_to_writing)
{
	bool more = true;

	instead = [] {};
	for (unsigned number = 0; more; ++number) {
		world w{0};
		side waiting{w, 0}, taking{w, 1};

		waiting.attach();
		waiting.open();
		taking.attach();
		taking.open();
		taking.attach();
		more = at_access(
			number, [&] { kvmchan_session_look(&waiting.s); },
			[&] {
				taking.open();
				kvmchan_session_sync_tx(&taking.s, &taking.tx);
				kvmchan_tx_commit(&taking.tx, word_size);
			});
		for (int i = 0; i < 3; ++i) {
			kvmchan_session_look(&waiting.s);
			kvmchan_session_look(&taking.s);
		}
		if (more) {
			EXPECT_FALSE(waiting.s.peer_gone) << "at access " << number;
			EXPECT_FALSE(taking.s.peer_gone) << "at access " << number;
		}
	}
	instead = nullptr;
}

} // namespace
