// SPDX-License-Identifier: MIT
/*
 * A peer that writes what it must not. Side 0 is the bad one, by scribbling
 * over its words in the region; side 1 has to end that session and no other.
 */
#include "blocked_thread.hpp"
#include "raw_region.hpp"

#include <atomic>
#include <random>
#include <thread>

#include <sys/syscall.h>

namespace {

using namespace node;

constexpr std::uint64_t ring_size = 4096;

class hostile_words : public ::testing::Test {
protected:
	raw_region raw;
};

std::uint64_t errors(const char *name)
{
	return counter(name, 1, "protocol_errors");
}

void expect_failure(const unique_fd &fd, int error)
{
	std::string text;
	EXPECT_EQ(read(fd, text), -1);
	EXPECT_EQ(errno, error);
	EXPECT_EQ(write(fd, "x"), -1);
	EXPECT_EQ(errno, error);
}

void expect_works(const node::pair &p)
{
	write_all(p.a, "works");
	EXPECT_EQ(read_all(p.b, 5), "works");
	write_all(p.b, "well");
	EXPECT_EQ(read_all(p.a, 4), "well");
}

/* The session of side 1 is over for good, whatever the peer does now. */
void expect_broken(const char *name, node::pair &p, std::uint64_t before, const node::pair &other)
{
	for (int i = 0; i < 3; ++i)
		expect_failure(p.b, EPROTO);
	EXPECT_EQ(errors(name), before + 1) << "one error is counted once";
	EXPECT_EQ(state(p.b), std::uint32_t{KVMCHAN_STATE_BROKEN});
	EXPECT_TRUE(ready(p.b) & POLLERR);
	// The peer is told that nobody reads or writes here.
	EXPECT_TRUE(writing_fails_with(p.a, EPIPE));
	expect_works(other);
	p.a.reset();
	p.b.reset();
	expect_works(connect(name));
	EXPECT_EQ(errors(name), before + 1);
}

TEST_F(hostile_words, a_producer_index_past_the_ring)
{
	const auto before = errors("small");
	auto p = connect("small");
	const auto other = connect("stream");
	auto &prod = raw.index("small", 0).tx_prod;
	poke(prod, peek(raw.index("small", 1).rx_cons) + ring_size + 1);
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EPROTO);
	poke(prod, peek(raw.index("small", 1).rx_cons));
	expect_broken("small", p, before, other);
}

TEST_F(hostile_words, a_producer_index_that_goes_back)
{
	const auto before = errors("small");
	auto p = connect("small");
	const auto other = connect("stream");
	write_all(p.a, bytes(100));
	read_all(p.b, 50);
	auto &prod = raw.index("small", 0).tx_prod;
	poke(prod, peek(prod) - 40);
	// What was there before the lie was checked then, and is not asked for again.
	EXPECT_EQ(read_all(p.b, 50), bytes(100).substr(50));
	expect_broken("small", p, before, other);
}

TEST_F(hostile_words, a_consumer_index_past_what_was_written)
{
	const auto before = errors("small");
	auto p = connect("small");
	const auto other = connect("stream");
	write_all(p.b, bytes(ring_size));
	poke(raw.index("small", 0).rx_cons, peek(raw.index("small", 1).tx_prod) + 1);
	EXPECT_EQ(write(p.b, "x"), -1);
	EXPECT_EQ(errno, EPROTO);
	expect_broken("small", p, before, other);
}

TEST_F(hostile_words, a_consumer_index_that_goes_back)
{
	const auto before = errors("small");
	auto p = connect("small");
	const auto other = connect("stream");
	write_all(p.b, bytes(ring_size));
	read_all(p.a, 1000);
	ASSERT_EQ(info(p.b).tx_space, 1000U);
	write_all(p.b, bytes(1000));
	auto &cons = raw.index("small", 0).rx_cons;
	poke(cons, peek(cons) - 500);
	EXPECT_EQ(write(p.b, "x"), -1);
	EXPECT_EQ(errno, EPROTO);
	expect_broken("small", p, before, other);
}

/* ---- record heads ---- */

class hostile_records : public hostile_words, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(hostile_records, with_a_bad_length)
{
	const auto before = errors("packet4k");
	auto p = connect("packet4k");
	const auto other = connect("stream");
	const auto start = peek(raw.index("packet4k", 0).tx_prod) & (ring_size - 1);
	write_all(p.a, "a record");
	const std::uint32_t length = GetParam();
	std::memcpy(raw.ring("packet4k", 0).data() + start, &length, sizeof(length));
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_EQ(errno, EPROTO);
	expect_broken("packet4k", p, before, other);
}

INSTANTIATE_TEST_SUITE_P(lengths, hostile_records,
                         ::testing::Values(0U, 9U, 4088U, 4089U, 4096U, 0x7fffffffU, 0xfffffff8U, 0xffffffffU));

TEST_F(hostile_words, less_than_a_record_head)
{
	const auto before = errors("packet4k");
	auto p = connect("packet4k");
	const auto other = connect("stream");
	auto &prod = raw.index("packet4k", 0).tx_prod;
	poke(prod, peek(prod) + 5);
	expect_broken("packet4k", p, before, other);
}

TEST_F(hostile_words, a_length_that_changes_later_is_not_looked_at)
{
	const auto p = connect("packet4k");
	const auto start = peek(raw.index("packet4k", 0).tx_prod) & (ring_size - 1);
	write_all(p.a, "record");
	std::atomic<bool> stop = false;
	std::thread scribbler{[&] {
		auto *head = reinterpret_cast<std::uint32_t *>(raw.ring("packet4k", 0).data() + start);
		while (!stop) {
			std::atomic_ref{*head} = 6;
			std::atomic_ref{*head} = 0x10000;
		}
	}};
	// Whichever it sees, it is six bytes or an error, and never more.
	std::string text;
	const auto n = read(p.b, text);
	EXPECT_TRUE(n == 6 || (n == -1 && errno == EPROTO)) << n;
	stop = true;
	scribbler.join();
}

/* ---- those who sleep ---- */

TEST_F(hostile_words, end_the_sleep_of_a_reader)
{
	auto p = connect("small", nonblocking, O_RDWR);
	std::string text;
	int error = 0;
	blocked_thread reader{[&] {
		if (read(p.b, text) < 0)
			error = errno;
	}};
	ASSERT_TRUE(reader.in(SYS_read));
	poke(raw.index("small", 0).tx_prod, ~0ULL / 3);
	// The next ring, for whatever reason, makes it look.
	EXPECT_EQ(::ioctl(p.a.get(), KVMCHAN_IOC_SHUTDOWN, 1UL), 0);
	reader.join();
	EXPECT_EQ(error, EPROTO);
}

/* ---- link words, bells, events ---- */

TEST_F(hostile_words, a_link_word_of_another_epoch_is_a_new_session)
{
	auto p = connect("small");
	auto &link = raw.session("small", 0).link;
	poke(link, peek(link) + 5);
	EXPECT_TRUE(eventually([&] { return state(p.b) == KVMCHAN_STATE_DISCONNECTED; }));
	EXPECT_EQ(write(p.b, "x"), -1);
	EXPECT_EQ(errno, EPIPE);
	p.a.reset();
	p.b.reset();
	expect_works(connect("small"));
}

TEST_F(hostile_words, a_bell_word_of_nobody_is_mended_by_a_new_session)
{
	auto p = connect("small");
	for (const unsigned side : {0U, 1U})
		poke(raw.session("small", side).bell, 0xdeadbeefcafebabeULL);
	EXPECT_EQ(write(p.a, "rings somebody else"), 19);
	p.a.reset();
	p.b.reset();
	// Blocking, so that only a doorbell or the timer lets it go on.
	const auto q = connect("small", O_RDWR, O_RDWR);
	const auto sent = bytes(20 * ring_size);
	blocked_thread writer{[&] { write(q.a, sent); }};
	std::string got, text;
	while (got.size() < sent.size() && read(q.b, text) > 0)
		got += text;
	writer.join();
	EXPECT_TRUE(got == sent);
}

TEST_F(hostile_words, events_only_decide_who_is_rung)
{
	const auto p = connect("small");
	for (const unsigned side : {0U, 1U}) {
		poke(raw.index("small", side).rx_event, 0x8000000000000000ULL);
		poke(raw.index("small", side).tx_event, ~0ULL);
	}
	EXPECT_EQ(write(p.a, "there"), 5);
	std::string text;
	EXPECT_EQ(read(p.b, text), 5);
	EXPECT_EQ(text, "there");
}

TEST_F(hostile_words, of_a_start_index_spoil_one_session)
{
	settle("small");
	auto a = open_side("small", 0);
	poke(raw.session("small", 0).tx_start, 0x123456789ULL);
	auto b = open_side("small", 1);
	EXPECT_TRUE(eventually([&] {
		std::string text;
		return read(b, text) < 0 && errno == EPROTO;
	}));
	a.reset();
	b.reset();
	expect_works(connect("small"));
}

/* ---- everything at once ---- */

void scribble(const raw_region &raw, const std::vector<std::string> &names, std::uint64_t seed, std::uint64_t stores)
{
	std::mt19937_64 random{seed};
	for (std::uint64_t i = 0; i < stores; ++i) {
		const auto &name = names[random() % names.size()];
		const unsigned side = random() & 1;
		auto &session = raw.session(name, side);
		auto &index = raw.index(name, side);
		__le64 *const words[] = {&session.link, &session.tx_start, &session.bell, &index.tx_prod, &index.rx_cons,
		                         &index.rx_event, &index.tx_event,
		                         reinterpret_cast<__le64 *>(raw.ring(name, side).data() + random() % 512 * 8)};
		__le64 &word = *words[random() % 8];
		switch (random() % 5) {
		case 0: poke(word, random()); break;
		case 1: poke(word, peek(word) ^ (1ULL << (random() % 64))); break;
		case 2: poke(word, peek(word) + random() % 64); break;
		case 3: poke(word, peek(word) - random() % 64); break;
		default: poke(word, peek(*words[random() % 8]));
		}
		if (i % 64 == 0)
			std::this_thread::yield();
	}
}

/* Any operation, any result; it has to come back. */
void use(const std::string &name, unsigned side, std::uint64_t seed, const std::atomic<bool> &stop)
{
	std::mt19937_64 random{seed};
	std::string text;
	while (!stop) {
		const auto fd = try_side(name, side);
		for (int i = 0; fd && i < 30; ++i) {
			const auto length = random() % 8192;
			switch (random() % 6) {
			case 0: ready(fd); break;
			case 1: write(fd, std::string(length, 'x')); break;
			case 2: info(fd); break;
			case 3: ::ioctl(fd.get(), KVMCHAN_IOC_RECONNECT); break;
			default: read(fd, text, length);
			}
		}
	}
}

TEST_F(hostile_words, at_random_harm_only_their_sessions)
{
	const std::vector<std::string> names{"small", "packet4k", "asym", "packet"};
	const auto other = connect("stream");
	std::atomic<bool> stop = false;
	std::vector<std::thread> users;
	for (std::size_t i = 0; i < names.size(); ++i)
		for (const unsigned side : {0U, 1U})
			users.emplace_back([&, i, side] { use(names[i], side, 10 * i + side, stop); });
	scribble(raw, names, amount("scribble_seed", 1), amount("scribble_stores", 300'000));
	expect_works(other);
	stop = true;
	for (auto &each : users)
		each.join();
	expect_works(other);
	for (const auto &name : names)
		expect_works(connect(name));
}

} // namespace
