// SPDX-License-Identifier: MIT
/*
 * How often sides ring each other: seldom while they stream, once for each
 * message in a ping-pong, never while nothing happens.
 *
 * KVMCHAN_STREAM_RECORDS: records in the streaming test.
 */
#include "guest_case.hpp"
#include "region_server.hpp"
#include "traffic.hpp"

#include <fmt/core.h>

#include <array>
#include <chrono>
#include <cstdlib>

namespace {

using namespace harness;
using namespace std::chrono_literals;

class doorbells : public guest_case {
protected:
	doorbells() : server_{{.size = "16M", .vectors = 2, .args = {"--channel", "c:packet:64K"}}} {}

	guest_command start(guest &g)
	{
		command what{"/tests/echo"};
		what.argv = {"/tests/echo", "--gtest_brief=1"};
		return g.spawn(what);
	}

	static std::uint64_t counter(guest &g, const std::string &name)
	{
		return std::stoull(g.check("cat /sys/class/kvmchan/kvmchan0/statistics/" + name));
	}

	static void finish(guest_command &echo)
	{
		const auto r = echo.wait(60s);
		EXPECT_EQ(r.exit, 0) << r.out << r.err;
	}

	region_server server_;
};

TEST_F(doorbells, are_far_fewer_than_records_in_a_stream)
{
	const char *text = std::getenv("KVMCHAN_STREAM_RECORDS");
	const std::uint64_t records = text ? std::strtoull(text, nullptr, 0) : 1'000'000;
	constexpr std::size_t largest = 128;
	auto &g = boot({.devices = {server_.device("d0")}});
	auto echo = start(g);
	const auto region = kvmchan::region::attach(server_.socket());
	std::vector<std::unique_ptr<echoed_traffic>> all;
	// A record has (1 + largest) / 2 bytes on average.
	all.push_back(std::make_unique<echoed_traffic>(
		region, "c",
		traffic_plan{.bytes = records * (1 + largest) / 2, .largest = largest, .seed = 3}));
	run_all(all, 900s);
	const auto sent = all[0]->records();
	const auto host = all[0]->channel().counters();
	all.clear();
	finish(echo);
	const auto guest_rings = counter(g, "doorbells_sent");
	fmt::print("{} records each way; doorbells of the host {} (1 in {:.0f}), of the guest {} (1 in {:.0f})\n",
	           sent, host.doorbells_sent,
	           static_cast<double>(sent) / static_cast<double>(host.doorbells_sent), guest_rings,
	           static_cast<double>(sent) / static_cast<double>(guest_rings));
	EXPECT_GE(sent, records * 98 / 100);
	EXPECT_EQ(counter(g, "rx_records"), sent);
	EXPECT_EQ(counter(g, "tx_records"), sent);
	/*
	 * The guest is the slower one under TCG: the host's reader is done with a
	 * record before the next one comes, sleeps, and has to be woken for it. So
	 * the guest's figure is reported, and must only be less than two a record
	 * (what it wrote and what it read), which would be ringing at all times.
	 */
	EXPECT_LT(host.doorbells_sent, sent / 10);
	EXPECT_LT(guest_rings, 2 * sent);
}

TEST_F(doorbells, are_at_most_one_for_each_message_of_a_ping_pong)
{
	constexpr std::uint64_t rounds = 2000;
	auto &g = boot({.devices = {server_.device("d0")}});
	auto echo = start(g);
	{
		const auto region = kvmchan::region::attach(server_.socket());
		kvmchan::channel channel{region, "c"};
		std::array<std::byte, 64> message{};
		const auto round = [&] {
			channel.send(message);
			const auto back = channel.recv(message);
			ASSERT_TRUE(back && back->length == message.size());
		};
		round(); // after it both are connected and at rest
		const auto host_before = channel.counters().doorbells_sent;
		const auto guest_before = counter(g, "doorbells_sent");
		const auto waits_before = counter(g, "ring_empty") - 1; // it waits now
		for (std::uint64_t i = 0; i < rounds; ++i)
			round();
		const auto host_rings = channel.counters().doorbells_sent - host_before;
		const auto guest_rings = counter(g, "doorbells_sent") - guest_before;
		fmt::print("{} rounds: {} doorbells of the host, {} of the guest\n", rounds, host_rings,
		           guest_rings);
		// A side that is still awake when the message comes is not rung, one
		// that asked to be is, once; what was read is never worth a ring here.
		EXPECT_LE(host_rings, rounds);
		EXPECT_LE(guest_rings, rounds);
		EXPECT_LE(host_rings, counter(g, "ring_empty") - waits_before);
		EXPECT_GT(host_rings + guest_rings, 0U);
	}
	finish(echo);
}

TEST_F(doorbells, are_silent_when_nothing_happens)
{
	auto &g = boot({.devices = {server_.device("d0")}});
	auto echo = start(g);
	{
		const auto region = kvmchan::region::attach(server_.socket());
		kvmchan::channel channel{region, "c"};
		std::array<std::byte, 8> message{};
		channel.send(message);
		ASSERT_TRUE(channel.recv(message));
		const auto host_before = channel.counters();
		const auto guest_before = counter(g, "doorbells_sent") + counter(g, "interrupts");
		EXPECT_EQ(channel.wait_for(kvmchan::event::readable, 3s), kvmchan::event::none);
		EXPECT_EQ(channel.counters().doorbells_sent, host_before.doorbells_sent);
		EXPECT_EQ(counter(g, "doorbells_sent") + counter(g, "interrupts"), guest_before);
	}
	finish(echo);
}

} // namespace
