// SPDX-License-Identifier: MIT
/*
 * A peer that rings a guest without cause. The guest cuts that vector off and
 * polls its channels; all others go on, and so does everything when it stops.
 * flood_minutes in the environment: how long, at least (default: seven times).
 */
#include "guest_case.hpp"
#include "ivshmem_client.hpp"
#include "region_server.hpp"

#include <kvmchan/channel.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace {

using namespace harness;
using namespace std::chrono_literals;

/** Rings one vector of a peer thousands of times a second, for as long as it lives. */
class flood {
public:
	flood(const kvmchan::ivshmem_client &from, std::uint16_t peer, unsigned vector)
	    : thread_{[&from, peer, vector](const std::stop_token &stop) {
		      while (!stop.stop_requested()) {
			      EXPECT_TRUE(from.ring(peer, vector));
			      std::this_thread::sleep_for(100us);
		      }
	      }}
	{
	}

private:
	std::jthread thread_;
};

class doorbell_flood : public guest_case {
protected:
	/* Vector 0 is for the table, so that each channel has one of its own. */
	doorbell_flood()
	    : server_{{.size = "16M", .vectors = 3, .args = {"--channel", "a:packet:64K", "--channel", "b:packet:64K"}}}
	{
	}

	static std::uint64_t number(guest &g, const std::string &file)
	{
		return std::stoull(g.check("cat /sys/class/kvmchan/" + file));
	}

	/* Which node is that of a channel. */
	static std::string node(guest &g, const std::string &name)
	{
		auto found = g.check("for n in /sys/class/kvmchan/*; do [ $(cat $n/name) = " + name + " ] && echo ${n##*/}; done; true");
		found.erase(found.find_last_not_of('\n') + 1);
		return found;
	}

	static std::chrono::minutes duration()
	{
		const char *minutes = std::getenv("flood_minutes");
		return std::chrono::minutes{minutes ? std::stoul(minutes) : 0};
	}

	static void rounds(kvmchan::channel &channel, int count)
	{
		std::array<std::byte, 64> message{};
		for (int i = 0; i < count; ++i) {
			channel.send(message);
			const auto back = channel.recv(message);
			ASSERT_TRUE(back && back->length == message.size());
		}
	}

	static double seconds(kvmchan::channel &channel, int count)
	{
		const auto start = std::chrono::steady_clock::now();
		rounds(channel, count);
		return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
	}

	static double median(std::vector<double> values)
	{
		const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
		std::ranges::nth_element(values, middle);
		return *middle;
	}

	region_server server_;
};

TEST_F(doorbell_flood, is_cut_off_and_disturbs_nobody_else)
{
	auto &g = boot({.devices = {server_.device("d0")}});
	command echo{"/tests/echo"};
	echo.argv = {"/tests/echo", "--gtest_brief=1"};
	echo.env["ECHO_COUNT"] = "2";
	auto running = g.spawn(echo);
	const auto peer = static_cast<std::uint16_t>(
		std::stoul(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/ivposition")));
	const auto attacker = kvmchan::ivshmem_client::connect(server_.socket(), 30s);
	{
		const auto region = kvmchan::region::attach(server_.socket());
		kvmchan::channel victim{region, "a"}, other{region, "b"};
		rounds(victim, 10);
		rounds(other, 10);
		const auto a = node(g, "a"), b = node(g, "b");
		const auto vector = static_cast<unsigned>(number(g, a + "/vector"));
		ASSERT_NE(vector, number(g, b + "/vector"));

		const auto empty_of_b = number(g, b + "/statistics/empty_interrupts");
		std::vector<double> calm, flooded;
		const auto end = std::chrono::steady_clock::now() + duration();
		for (int i = 0; i < 7 || std::chrono::steady_clock::now() < end; ++i) {
			calm.push_back(seconds(other, 300));
			const flood storm{attacker, peer, vector};
			g.wait_log(fmt::format("vector {} is rung without cause", vector));
			flooded.push_back(seconds(other, 300));
			// Of the victim no message is lost; they come when it is polled.
			rounds(victim, 3);
		}
		// For whoever reads the log: who floods and who measures share the host's cores.
		fmt::print("the other channel keeps {:.2f} of its speed\n", median(calm) / median(flooded));
		EXPECT_GT(number(g, a + "/statistics/empty_interrupts"), 1000U);
		EXPECT_LT(number(g, b + "/statistics/empty_interrupts") - empty_of_b, 1000U);

		// After it the vector tells again, and nothing goes on by itself.
		const auto told = number(g, a + "/statistics/interrupts");
		g.check("f=/sys/class/kvmchan/" + a + "/statistics/empty_interrupts; "
		        "until [ $(cat $f) = $(sleep 1.2; cat $f) ]; do :; done");
		rounds(victim, 20);
		EXPECT_GT(number(g, a + "/statistics/interrupts"), told);
	}
	const auto r = running.wait(60s);
	EXPECT_EQ(r.exit, 0) << r.out << r.err;
}

} // namespace
