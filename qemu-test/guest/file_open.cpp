// SPDX-License-Identifier: MIT
// Opening a node: who gets which direction, and what the node says of itself.
#include "node.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include <sys/mman.h>
#include <sys/uio.h>

namespace {

using namespace node;

constexpr const char *name = "stream";

TEST(file_open, gives_each_direction_to_one_file)
{
	settle(name);
	const auto reader = open_side(name, 0, O_RDONLY);
	const auto writer = open_side(name, 0, O_WRONLY);
	for (const int mode : {O_RDONLY, O_WRONLY, O_RDWR}) {
		EXPECT_FALSE(try_side(name, 0, mode)) << mode;
		EXPECT_EQ(errno, EBUSY) << mode;
	}
	EXPECT_TRUE(try_side(name, 1, O_RDWR)) << "the other side is another node";
}

TEST(file_open, for_both_needs_both)
{
	settle(name);
	{
		const auto both = open_side(name, 0, O_RDWR);
		for (const int mode : {O_RDONLY, O_WRONLY, O_RDWR}) {
			EXPECT_FALSE(try_side(name, 0, mode));
			EXPECT_EQ(errno, EBUSY);
		}
	}
	{
		const auto reader = open_side(name, 0, O_RDONLY);
		EXPECT_FALSE(try_side(name, 0, O_RDWR));
		EXPECT_EQ(errno, EBUSY);
		EXPECT_TRUE(try_side(name, 0, O_WRONLY));
	}
	EXPECT_TRUE(try_side(name, 0, O_RDWR)) << "a direction stayed taken";
}

TEST(file_open, that_was_refused_changes_nothing)
{
	const auto p = connect(name);
	for (int i = 0; i < 3; ++i)
		EXPECT_FALSE(try_side(name, 0));
	EXPECT_EQ(write(p.a, "still"), 5);
	EXPECT_EQ(read_all(p.b, 5), "still");
	EXPECT_EQ(state(p.b), std::uint32_t{KVMCHAN_STATE_CONNECTED});
}

TEST(file_open, keeps_to_its_direction)
{
	settle(name);
	const auto reader = open_side(name, 0, O_RDONLY | O_NONBLOCK);
	const auto writer = open_side(name, 0, O_WRONLY | O_NONBLOCK);
	std::string text;
	EXPECT_EQ(write(reader, "x"), -1);
	EXPECT_EQ(errno, EBADF);
	EXPECT_EQ(read(writer, text), -1);
	EXPECT_EQ(errno, EBADF);
}

TEST(file_open, makes_a_stream_without_positions)
{
	const auto p = connect(name);
	char c = 'x';
	EXPECT_EQ(::lseek(p.a.get(), 0, SEEK_CUR), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(::pread(p.a.get(), &c, 1, 0), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(::pwrite(p.a.get(), &c, 1, 0), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(info(p.b).rx_ready, 0U);
}

TEST(file_open, of_a_channel_cannot_be_mapped)
{
	const auto fd = open_side(name, 0);
	EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0), MAP_FAILED);
	EXPECT_EQ(errno, ENODEV);
}

TEST(file_open, tells_what_the_node_is)
{
	const auto p = connect("asym");
	for (const unsigned side : {0U, 1U}) {
		const auto i = info(side ? p.b : p.a);
		EXPECT_STREQ(reinterpret_cast<const char *>(i.name), "asym");
		EXPECT_EQ(i.kind, 1U);
		EXPECT_EQ(i.mode, 0U);
		EXPECT_EQ(i.side, side);
		EXPECT_EQ(i.tx_size, side ? 65536U : 4096U);
		EXPECT_EQ(i.rx_size, side ? 4096U : 65536U);
		EXPECT_EQ(i.tx_space, i.tx_size);
		EXPECT_EQ(i.rx_ready, 0U);
		EXPECT_EQ(i.max_record, 0U);
		EXPECT_THAT(i.reserved, ::testing::Each(0U));
		EXPECT_THAT(i.incarnation, ::testing::Contains(::testing::Ne(0)));
		EXPECT_EQ(std::to_string(i.rx_size), attribute("asym", side, "rx_size"));
		EXPECT_EQ(std::to_string(i.tx_size), attribute("asym", side, "tx_size"));
		const auto vector = attribute("asym", side, "vector");
		EXPECT_EQ(i.vector == UINT32_MAX ? "none" : std::to_string(i.vector), vector);
		EXPECT_EQ(i.peer == UINT32_MAX, vector == "none") << "both sides are the same kind of device";
	}
	EXPECT_EQ(std::memcmp(info(p.a).incarnation, info(p.b).incarnation, 16), 0);
	const auto packet = open_side("packet", 0);
	EXPECT_EQ(info(packet).mode, 1U);
	EXPECT_EQ(info(packet).max_record, info(packet).tx_size - 8);
}

TEST(file_open, tells_how_the_session_stands)
{
	settle(name);
	EXPECT_EQ(attribute(name, 0, "state"), "closed");
	auto a = open_side(name, 0);
	EXPECT_EQ(state(a), std::uint32_t{KVMCHAN_STATE_WAITING});
	EXPECT_EQ(attribute(name, 0, "state"), "waiting");
	auto b = open_side(name, 1);
	EXPECT_TRUE(connected(a, b));
	EXPECT_EQ(attribute(name, 0, "state"), "connected");
	b.reset();
	EXPECT_TRUE(eventually([&] { return state(a) == KVMCHAN_STATE_DISCONNECTED; }));
	EXPECT_EQ(attribute(name, 0, "state"), "disconnected");
	EXPECT_EQ(attribute(name, 1, "state"), "closed");
}

TEST(file_open, and_close_hundreds_of_times_leave_no_trace)
{
	settle(name);
	for (int i = 0; i < 500; ++i) {
		const auto a = open_side(name, 0, i % 3 ? O_RDWR : O_WRONLY);
		if (i % 2)
			open_side(name, 1, i % 5 ? O_RDWR : O_RDONLY);
	}
	const auto p = connect(name);
	EXPECT_EQ(write(p.a, "after"), 5);
	EXPECT_EQ(read_all(p.b, 5), "after");
}

} // namespace
