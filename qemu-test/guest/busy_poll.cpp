// SPDX-License-Identifier: MIT
// A read that looks before it sleeps is not rung.
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
		constexpr int rounds = 1000;
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
TEST_F(busy_poll, spares_most_of_the_rings)
{
	EXPECT_TRUE(eventually([] {
		const auto asleep = rings("0"), awake = rings("1000");
		std::cout << asleep << " rings asleep, " << awake << " awake\n";
		return 4 * awake < asleep;
	}));
}

TEST_F(busy_poll, is_off_at_zero_and_bounded)
{
	for (const char *value : {"0", "50", "4294967295"}) {
		set(value);
		EXPECT_EQ(first_line(parameter), value);
		const auto p = connect("stream", O_RDWR, O_RDWR);
		std::thread reader{[&] { EXPECT_EQ(read_all(p.b, 4), "late"); }};
		std::this_thread::sleep_for(std::chrono::milliseconds{20});
		write_all(p.a, "late");
		reader.join();
	}
}

} // namespace
