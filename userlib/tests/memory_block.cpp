// SPDX-License-Identifier: MIT
// Memory blocks between processes on the host.
#include <thread>

#include <gtest/gtest.h>

#include "channel_fixture.hpp"
#include "kvmchan/memory.hpp"

namespace kvmchan::test {
namespace {

using namespace std::chrono_literals;

class block_region {
public:
	block_region() : memory_{memory::create_memfd("kvmchan-test", 1U << 20)}
	{
		new_region wanted;

		wanted.slots.push_back({"frames", slot_kind::memory, channel_mode::stream, {side_host, side_host}, {65536, 0}});
		wanted.slots.push_back({"c", slot_kind::channel, channel_mode::stream, {side_host, side_host}, {4096, 4096}});
		format_region(memory_.fd(), wanted);
	}

	memory_block map() const { return {region::adopt(memory_.fd()), "frames"}; }
	region open() const { return region::adopt(memory_.fd()); }

private:
	memory memory_;
};

TEST(memory_block_test, both_see_the_same_bytes)
{
	const block_region where;
	const memory_block a = where.map(), b = where.map();

	EXPECT_EQ(a.bytes().size(), 65536U);
	a.bytes()[65535] = std::byte{42};
	EXPECT_EQ(b.bytes()[65535], std::byte{42});
}

TEST(memory_block_test, signals_are_counted)
{
	const block_region where;
	memory_block a = where.map(), b = where.map();

	EXPECT_EQ(b.count(), 0U);
	EXPECT_EQ(b.wait(0, 10ms), 0U);
	a.signal();
	a.signal();
	EXPECT_EQ(b.wait(0), 2U);
	EXPECT_EQ(b.wait(2, 10ms), 2U);
	EXPECT_EQ(a.count(), 0U) << "of the peer";
	std::thread waiter{[&] { EXPECT_EQ(b.wait(2), 3U); }};

	std::this_thread::sleep_for(20ms);
	a.signal();
	waiter.join();
}

TEST(memory_block_test, counts_outlive_their_process)
{
	const block_region where;
	memory_block b = [&] {
		memory_block a = where.map();
		memory_block other = where.map();

		a.signal();
		return other;
	}();
	memory_block again = where.map();

	EXPECT_EQ(b.count(), 1U);
	again.signal();
	EXPECT_EQ(b.count(), 2U);
}

TEST(memory_block_test, who_only_looks_on_cannot_signal)
{
	const block_region where;
	memory_block a = where.map(), b = where.map(), c = where.map();
	std::error_code ec;

	c.signal(ec);
	EXPECT_EQ(ec, std::errc::device_or_resource_busy);
	a.bytes()[0] = std::byte{7};
	EXPECT_EQ(c.bytes()[0], std::byte{7});
}

TEST(memory_block_test, kinds_are_not_mixed_up)
{
	const block_region where;

	EXPECT_THROW((memory_block{where.open(), "c"}), std::system_error);
	EXPECT_THROW((memory_block{where.open(), "none"}), std::system_error);
	EXPECT_THROW((channel{where.open(), "frames"}), std::system_error);
}

} // namespace
} // namespace kvmchan::test
