// SPDX-License-Identifier: MIT
/*
 * Bytes and records between a process on the host and one in the guest, in
 * both directions at once, each byte checked.
 *
 * KVMCHAN_TRAFFIC_MIB: bytes in each direction of a bulk test, MiB.
 */
#include "guest_case.hpp"
#include "region_server.hpp"
#include "traffic.hpp"

#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

namespace {

using namespace harness;
using namespace std::chrono_literals;

constexpr auto bulk_limit = 600s;

std::uint64_t bulk_bytes(std::uint64_t mib)
{
	const char *text = std::getenv("KVMCHAN_TRAFFIC_MIB");
	return (text ? std::strtoull(text, nullptr, 0) : mib) << 20;
}

command echo_command(std::size_t count, std::size_t buffer)
{
	command what{"echo"};
	what.argv = {"/tests/echo", "--gtest_brief=1"};
	what.env = {{"ECHO_COUNT", std::to_string(count)}, {"ECHO_BUFFER", std::to_string(buffer)}};
	return what;
}

void finish(guest_command &echo)
{
	const auto r = echo.wait(60s);
	EXPECT_EQ(r.exit, 0) << r.out << r.err;
}

/** How a channel is made, and what goes through it. */
struct bulk {
	const char *name;
	const char *mode;
	const char *ring;
	std::uint64_t mib;
	std::size_t largest;
};

std::ostream &operator<<(std::ostream &out, const bulk &b)
{
	return out << b.name;
}

const bulk bulks[] = {
	{"stream_small_ring", "stream", "4K", 8, 8 << 20},
	{"stream_large_ring", "stream", "4M", 64, 8 << 20},
	{"packet_small_ring", "packet", "4K", 8, 4096},
	{"packet_large_ring", "packet", "4M", 64, 4 << 20},
};

class bulk_traffic : public guest_case, public ::testing::WithParamInterface<bulk> {
protected:
	void pass(guest &g, const kvmchan::region &region)
	{
		auto echo = g.spawn(echo_command(1, GetParam().largest));
		std::vector<std::unique_ptr<echoed_traffic>> all;
		const auto start = std::chrono::steady_clock::now();
		all.push_back(std::make_unique<echoed_traffic>(
			region, "bulk",
			traffic_plan{.bytes = bulk_bytes(GetParam().mib), .largest = GetParam().largest, .seed = 7}));
		run_all(all, bulk_limit);
		const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
		fmt::print("{} bytes each way, {:.0f} MB/s in both together\n", all[0]->sent(),
		           2e-6 * static_cast<double>(all[0]->sent()) / took.count());
		all.clear();
		finish(echo);
	}

	std::string channel_flag() const
	{
		return fmt::format("bulk:{}:{}", GetParam().mode, GetParam().ring);
	}
};

TEST_P(bulk_traffic, over_doorbells)
{
	region_server server{{.size = "16M", .vectors = 4, .args = {"--channel", channel_flag()}}};
	auto &g = boot({.devices = {server.device("d0")}});
	pass(g, kvmchan::region::attach(server.socket()));
}

TEST_P(bulk_traffic, over_a_plain_device)
{
	const auto file = dir() / "region";
	const auto packet = std::string{GetParam().mode} == "packet";
	const std::uint64_t ring = GetParam().ring == std::string{"4K"} ? 4096 : 4 << 20;
	kvmchan::create_region(file.string(),
	                       {.size = 16 << 20,
	                        .slots = {{.name = "bulk",
	                                   .mode = packet ? kvmchan::channel_mode::packet
	                                                  : kvmchan::channel_mode::stream,
	                                   .size = {ring, ring}}}});
	auto &g = boot({.devices = {ivshmem_plain{.id = "p0", .memory = file}}});
	pass(g, kvmchan::region::open(file.string()));
}

INSTANTIATE_TEST_SUITE_P(modes, bulk_traffic, ::testing::ValuesIn(bulks),
                         [](const auto &one) { return std::string{one.param.name}; });

class channels : public guest_case {};

TEST_F(channels, sixty_four_at_once_in_one_loop_on_each_side)
{
	constexpr std::size_t count = 64;
	std::vector<std::string> args;
	for (std::size_t i = 0; i < count; ++i) {
		args.emplace_back("--channel");
		args.push_back(fmt::format("c{}:{}:64K", i, i % 2 ? "packet" : "stream"));
	}
	region_server server{{.size = "16M", .vectors = 8, .args = args}};
	auto &g = boot({.devices = {server.device("d0")}});
	auto echo = g.spawn(echo_command(count, 100'000));
	const auto region = kvmchan::region::attach(server.socket());
	std::vector<std::unique_ptr<echoed_traffic>> all;
	for (std::size_t i = 0; i < count; ++i)
		all.push_back(std::make_unique<echoed_traffic>(
			region, fmt::format("c{}", i),
			traffic_plan{.bytes = bulk_bytes(1), .largest = 60'000, .seed = i + 1}));
	run_all(all, bulk_limit);
	for (const auto &one : all)
		EXPECT_EQ(one->received(), one->sent());
	all.clear();
	finish(echo);
}

} // namespace
