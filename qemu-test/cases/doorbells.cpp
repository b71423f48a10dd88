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

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>

namespace {

using namespace harness;
using namespace std::chrono_literals;

struct rings;

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

	rings stream(std::uint64_t records, std::chrono::nanoseconds busy_poll);

	static void finish(guest_command &echo)
	{
		const auto r = echo.wait(60s);
		EXPECT_EQ(r.exit, 0) << r.out << r.err;
	}

	region_server server_;
};

struct rings {
	double of_host;
	double of_guest;
};

/* Streams records both ways and says how many rings there were for each. */
rings doorbells::stream(std::uint64_t records, std::chrono::nanoseconds busy_poll)
{
	constexpr std::size_t largest = 128;
	auto &g = boot({.devices = {server_.device("d0")}});
	auto echo = start(g);
	const auto region = kvmchan::region::attach(server_.socket());
	std::vector<std::unique_ptr<echoed_traffic>> all;
	// A record has (1 + largest) / 2 bytes on average.
	all.push_back(std::make_unique<echoed_traffic>(
		region, "c",
		traffic_plan{.bytes = records * (1 + largest) / 2, .largest = largest, .seed = 3, .busy_poll = busy_poll}));
	run_all(all, 900s);
	const auto sent = all[0]->records();
	const auto host_rings = all[0]->channel().counters().doorbells_sent;
	all.clear();
	finish(echo);
	const auto guest_rings = counter(g, "doorbells_sent");
	EXPECT_GE(sent, records * 98 / 100);
	EXPECT_EQ(counter(g, "rx_records"), sent);
	EXPECT_EQ(counter(g, "tx_records"), sent);
	fmt::print("{} records each way; doorbells of the host {} (1 in {}), of the guest {} (1 in {})\n", sent, host_rings,
	           sent / std::max<std::uint64_t>(host_rings, 1), guest_rings,
	           sent / std::max<std::uint64_t>(guest_rings, 1));
	return {static_cast<double>(host_rings) / static_cast<double>(sent),
	        static_cast<double>(guest_rings) / static_cast<double>(sent)};
}

std::uint64_t records_wanted()
{
	const char *text = std::getenv("KVMCHAN_STREAM_RECORDS");
	return text ? std::strtoull(text, nullptr, 0) : 1'000'000;
}

/*
 * The host's reader is faster than a guest under TCG: it waits for each record,
 * and is rung for it unless it looks. So that a machine which is busy with
 * other things does not change the verdict, it looks for as long as such a
 * machine may keep the guest from running.
 */
TEST_F(doorbells, are_far_fewer_than_records_in_a_stream)
{
	const auto each = stream(records_wanted(), 20ms);
	EXPECT_LT(each.of_host, 0.1);
	EXPECT_LT(each.of_guest, 0.1);
}

/* By default it looks only as long as that pays, which depends on the machine. */
TEST_F(doorbells, are_at_most_one_for_each_record_of_a_stream)
{
	const auto each = stream(records_wanted() / 5, kvmchan::channel_options{}.busy_poll);
	EXPECT_LT(each.of_host, 0.1);
	// And some when the ring was full.
	EXPECT_LT(each.of_guest, 1.1);
}

TEST_F(doorbells, are_at_most_one_for_each_message_of_a_ping_pong)
{
	constexpr std::uint64_t rounds = 2000;
	auto &g = boot({.devices = {server_.device("d0")}});
	auto echo = start(g);
	{
		const auto region = kvmchan::region::attach(server_.socket());
		// Who looks is not rung at all.
		kvmchan::channel channel{region, "c", {.side = {}, .busy_poll = 0ns}};
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
