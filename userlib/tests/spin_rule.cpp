// SPDX-License-Identifier: MIT
// When it is worth to look before sleeping: the rule that kernel and library share.
#include <gtest/gtest.h>

#include "busy_poll.hpp"
#include "kvmchan/channel.hpp"

namespace {

/* Waits until the next one that spins, that one not counted. */
unsigned waits_left_out(kvmchan_spin &s)
{
	unsigned waits = 0;

	while (!kvmchan_spin_due(&s))
		++waits;
	return waits;
}

unsigned after_a_miss(kvmchan_spin &s)
{
	kvmchan_spin_ended(&s, false);
	return waits_left_out(s);
}

TEST(spin_rule, has_one_default)
{
	EXPECT_EQ(kvmchan::channel_options{}.busy_poll, std::chrono::microseconds{KVMCHAN_SPIN_DEFAULT_US});
}

TEST(spin_rule, stays_on_while_it_brings_something)
{
	kvmchan_spin s{};

	for (int i = 0; i < 100; ++i) {
		ASSERT_TRUE(kvmchan_spin_due(&s));
		kvmchan_spin_ended(&s, true);
	}
	/* One miss among three does not turn it off. */
	for (int i = 0; i < 100; ++i) {
		ASSERT_TRUE(kvmchan_spin_due(&s));
		kvmchan_spin_ended(&s, i % 3);
	}
}

TEST(spin_rule, goes_off_where_half_of_the_waits_are_misses)
{
	kvmchan_spin s{};
	int spins = 0;

	for (; s.skip == 0 && spins < 1000; ++spins)
		kvmchan_spin_ended(&s, spins % 2);
	EXPECT_LT(spins, 50);
}

TEST(spin_rule, outlasts_a_few_misses_after_many_hits)
{
	kvmchan_spin s{};

	for (int i = 0; i < 100; ++i)
		kvmchan_spin_ended(&s, true);
	for (int i = 0; i < KVMCHAN_SPIN_CREDIT_MAX / KVMCHAN_SPIN_MISS; ++i)
		EXPECT_EQ(after_a_miss(s), 0U);
	EXPECT_EQ(after_a_miss(s), unsigned{KVMCHAN_SPIN_PAUSE_MIN});
}

TEST(spin_rule, goes_off_and_tries_ever_more_seldom)
{
	kvmchan_spin s{};

	for (unsigned pause = KVMCHAN_SPIN_PAUSE_MIN; pause <= KVMCHAN_SPIN_PAUSE_MAX; pause *= 2)
		EXPECT_EQ(after_a_miss(s), pause);
	EXPECT_EQ(after_a_miss(s), unsigned{KVMCHAN_SPIN_PAUSE_MAX});
}

TEST(spin_rule, a_hit_brings_it_back)
{
	kvmchan_spin s{};

	for (int i = 0; i < 10; ++i)
		after_a_miss(s);
	kvmchan_spin_ended(&s, true);
	EXPECT_EQ(waits_left_out(s), 0U);
	EXPECT_EQ(after_a_miss(s), unsigned{KVMCHAN_SPIN_PAUSE_MIN});
}

TEST(busy_poll, looks_until_it_sees_or_its_time_is_up)
{
	kvmchan::detail::busy_poll patient{std::chrono::hours{1}}, hasty{std::chrono::nanoseconds{1}},
		never{std::chrono::nanoseconds{0}};
	unsigned looks = 0;

	EXPECT_TRUE(patient([&] { return ++looks == 1000; }));
	EXPECT_EQ(looks, 1000U);
	EXPECT_FALSE(hasty([&] { return ++looks == 0; }));
	looks = 0;
	EXPECT_FALSE(never([&] { return ++looks > 0; }));
	EXPECT_EQ(looks, 0U);
	EXPECT_FALSE(patient([&] { return ++looks > 0; }, std::chrono::nanoseconds{0}));
	EXPECT_EQ(looks, 0U);
	/* In so short a time there is nothing to be learnt from a miss. */
	for (int i = 0; i < 100; ++i) {
		looks = 0;
		EXPECT_FALSE(patient([&] { return ++looks == 0; }, std::chrono::nanoseconds{1}));
		ASSERT_GT(looks, 0U) << i;
	}
}

} // namespace
