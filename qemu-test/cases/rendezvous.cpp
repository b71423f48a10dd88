// SPDX-License-Identifier: MIT
/*
 * Whoever comes first: the sides find each other.
 */
#include "guest_case.hpp"
#include "region_server.hpp"

#include <kvmchan/channel.hpp>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace {

using namespace harness;
using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(std::string_view text)
{
	return std::as_bytes(std::span{text});
}

/** Reads until the end. */
std::string read_all(kvmchan::channel &channel)
{
	std::string all;
	std::array<std::byte, 4096> part;
	while (const auto n = channel.read_some(part))
		all.append(reinterpret_cast<const char *>(part.data()), n);
	return all;
}

class rendezvous : public guest_case {
protected:
	static constexpr const char *node = "/dev/kvmchan0";

	/** What the guest sends arrives, and the end, and the other way round. */
	static void talk(guest &g, kvmchan::channel &channel)
	{
		auto reader = g.spawn(std::string{"cat "} + node);
		channel.write_all(bytes_of("to the guest"));
		channel.shutdown_write();
		EXPECT_EQ(reader.wait().out, "to the guest");
	}

	static kvmchan::new_region one_channel()
	{
		return {.size = 1 << 20, .slots = {{.name = "c"}}};
	}
};

TEST_F(rendezvous, host_first_and_what_it_wrote_is_there)
{
	region_server server{{.args = {"--channel", "c"}}};
	const auto region = kvmchan::region::attach(server.socket());
	kvmchan::channel channel{region, "c"};
	EXPECT_EQ(channel.state(), kvmchan::link_state::waiting);
	channel.write_all(bytes_of("early"));
	channel.shutdown_write();
	auto &g = boot({.devices = {server.device("d0")}});
	EXPECT_EQ(g.check(std::string{"cat "} + node), "early");
}

TEST_F(rendezvous, guest_first_and_what_it_wrote_is_there)
{
	region_server server{{.args = {"--channel", "c"}}};
	auto &g = boot({.devices = {server.device("d0")}});
	// The writer is gone before the host comes.
	g.check(std::string{"echo early > "} + node);
	const auto region = kvmchan::region::attach(server.socket());
	kvmchan::channel channel{region, "c"};
	EXPECT_EQ(read_all(channel), "early\n");
	channel.reconnect();
	talk(g, channel);
}

TEST_F(rendezvous, a_guest_that_waits_is_woken_by_the_host_that_comes)
{
	region_server server{{.args = {"--channel", "c"}}};
	auto &g = boot({.devices = {server.device("d0")}});
	auto reader = g.spawn(std::string{"cat "} + node);
	g.check("until grep -q waiting /sys/class/kvmchan/kvmchan0/state; do sleep 0.05; done");
	const auto region = kvmchan::region::attach(server.socket());
	kvmchan::channel channel{region, "c"};
	channel.write_all(bytes_of("late"));
	channel.shutdown_write();
	EXPECT_EQ(reader.wait().out, "late");
}

TEST_F(rendezvous, a_plain_guest_that_waits_finds_the_host)
{
	const auto file = dir() / "region";
	kvmchan::create_region(file.string(), one_channel());
	auto &g = boot({.devices = {ivshmem_plain{.id = "p0", .memory = file}}});
	auto reader = g.spawn(std::string{"cat "} + node);
	g.check("until grep -q waiting /sys/class/kvmchan/kvmchan0/state; do sleep 0.05; done");
	const auto region = kvmchan::region::open(file.string());
	kvmchan::channel channel{region, "c"};
	channel.write_all(bytes_of("late"));
	channel.shutdown_write();
	EXPECT_EQ(reader.wait().out, "late");
}

TEST_F(rendezvous, a_region_that_is_formatted_late)
{
	const auto device = plain("p0", 1 << 20);
	auto &g = boot({.devices = {device}});
	EXPECT_NE(g.run(std::string{"test -e "} + node).exit, 0);
	kvmchan::create_region(device.memory.string(), one_channel());
	g.check(std::string{"until test -e "} + node + "; do sleep 0.05; done");
	const auto region = kvmchan::region::open(device.memory.string());
	kvmchan::channel channel{region, "c"};
	talk(g, channel);
}

TEST_F(rendezvous, a_path_opened_host_and_a_doorbell_guest)
{
	// The host maps the server's memory but has no doorbells: both poll.
	region_server server{{.args = {"--channel", "c"}}};
	auto &g = boot({.devices = {server.device("d0")}});
	const auto attached = kvmchan::region::attach(server.socket());
	const auto file = "/proc/" + std::to_string(::getpid()) + "/fd/";
	std::string memory;
	for (const auto &fd : std::filesystem::directory_iterator{file})
		if (std::filesystem::read_symlink(fd).string().rfind("/memfd:", 0) == 0)
			memory = fd.path();
	ASSERT_FALSE(memory.empty());
	const auto region = kvmchan::region::open(memory);
	kvmchan::channel channel{region, "c"};
	talk(g, channel);
}

} // namespace
