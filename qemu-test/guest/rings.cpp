// SPDX-License-Identifier: MIT
// When an end is rung, and when it is not.
#include "node.hpp"

#include <thread>

namespace {

using namespace node;

const std::string parameter = "/sys/module/kvmchan/parameters/busy_poll_us";

class busy_poll : public testing::Test {
protected:
	busy_poll() : before_{first_line(parameter)} {}
	~busy_poll() override { set(before_); }

	static void set(const std::string &microseconds) { std::ofstream{parameter} << microseconds; }

	/* Doorbells of both sides in a ping-pong. */
	static std::uint64_t rings(const std::string &microseconds)
	{
		constexpr int rounds = 300;
		set(microseconds);
		const auto p = connect("packet", O_RDWR, O_RDWR);
		const auto count = [] { return counter("packet", 0, "doorbells_sent") + counter("packet", 1, "doorbells_sent"); };
		const auto before = count();
		std::thread echo{[&] {
			for (int i = 0; i < rounds; ++i) {
				write_all(p.b, read_all(p.b, 4));
			}
		}};
		for (int i = 0; i < rounds; ++i) {
			write_all(p.a, "ping");
			EXPECT_EQ(read_all(p.a, 4), "ping");
		}
		echo.join();
		return count() - before;
	}

private:
	std::string before_;
};

/* More than once, for a machine that keeps one of our CPUs from running. */
TEST_F(busy_poll, spares_rings)
{
	EXPECT_TRUE(eventually([] {
		const auto asleep = rings("0"), awake = rings("1000");
		std::cout << asleep << " rings asleep, " << awake << " awake\n";
		return 2 * awake < asleep;
	}));
}

/* It gives up, arms and sleeps, however long it is told to look. Of so many waits some look. */
TEST_F(busy_poll, is_bounded)
{
	set("4294967295");
	const auto p = connect("stream", O_RDWR, O_RDWR);
	for (int i = 0; i < 300; ++i) {
		const auto before = counter("stream", 1, "ring_empty");
		std::thread reader{[&] { EXPECT_EQ(read_all(p.b, 4), "late"); }};
		const bool sleeps = eventually([&] { return counter("stream", 1, "ring_empty") > before; });
		write_all(p.a, "late");
		reader.join();
		ASSERT_TRUE(sleeps) << "at wait " << i;
	}
}

/* So does a writer in front of a full ring. */
TEST_F(busy_poll, is_bounded_for_room)
{
	set("4294967295");
	const auto p = connect("small", O_RDWR, O_RDWR);
	for (int i = 0; i < 50; ++i) {
		write_all(p.a, bytes(4096));
		const auto before = counter("small", 0, "ring_full");
		std::thread writer{[&] { write_all(p.a, "late"); }};
		const bool sleeps = eventually([&] { return counter("small", 0, "ring_full") > before; });
		EXPECT_EQ(read_all(p.b, 4100), bytes(4096) + "late");
		writer.join();
		ASSERT_TRUE(sleeps) << "at wait " << i;
	}
}

/* Not at each read of a peer that is slower. */
TEST(rings, wake_a_writer_once_half_of_the_ring_is_free)
{
	for (const char *name : {"small", "packet4k"}) {
		const auto p = connect(name);
		const auto rung = [&] { return counter(name, 1, "doorbells_sent"); };
		const std::string piece = bytes(56); // with a record's head, 64
		int pieces = 0;
		for (; write(p.a, piece) == static_cast<ssize_t>(piece.size()); ++pieces)
			;
		EXPECT_EQ(write(p.a, piece), -1);
		EXPECT_EQ(errno, EAGAIN);
		const auto before = rung();
		for (int i = 1; i <= pieces; ++i) {
			EXPECT_EQ(read_all(p.b, piece.size()), piece);
			if (i == pieces / 2 - 2) {
				EXPECT_EQ(rung() - before, 0U) << name;
			}
		}
		EXPECT_EQ(rung() - before, 1U) << name;
		EXPECT_GT(write(p.a, piece), 0);
	}
}

} // namespace
