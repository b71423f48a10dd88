// SPDX-License-Identifier: MIT
/*
 * Two guests exchange data through one region, with no process of the host in
 * between.
 */
#include "guest_case.hpp"
#include "region_server.hpp"

#include <fmt/core.h>
#include <kvmchan/region.hpp>

#include <chrono>
#include <fstream>
#include <thread>

namespace {

using namespace harness;
using namespace std::chrono_literals;

class two_guests : public guest_case {
protected:
	static constexpr const char *node = "/dev/kvmchan0";
	static constexpr unsigned mib = 16;

	static std::string first_word(const std::string &text) { return text.substr(0, text.find(' ')); }

	static std::string make_file(guest &g)
	{
		g.check("until test -e /dev/kvmchan0; do sleep 0.05; done");
		g.check(fmt::format("dd if=/dev/urandom of=/tmp/out bs=1M count={} 2>/dev/null", mib));
		return first_word(g.check("sha256sum /tmp/out"));
	}

	/* A reader that runs first keeps the session open for its own writer. */
	static guest_command exchange(guest &g)
	{
		return g.spawn(fmt::format(
			"head -c {} {} | sha256sum & until grep -qE 'waiting|connected' "
			"/sys/class/kvmchan/kvmchan0/state; do sleep 0.05; done; cat /tmp/out > {}; wait",
			mib << 20, node, node));
	}

	static void pass(guest &a, guest &b)
	{
		const auto of_a = make_file(a);
		const auto of_b = make_file(b);
		auto at_a = exchange(a);
		auto at_b = exchange(b);
		EXPECT_EQ(first_word(at_a.wait(300s).out), of_b);
		EXPECT_EQ(first_word(at_b.wait(300s).out), of_a);
	}
};

TEST_F(two_guests, over_doorbells)
{
	const auto config = dir() / "two.toml";
	std::ofstream{config} << fmt::format("[[region]]\nname = \"two\"\nsocket = \"{0}/sock\"\nsize = \"16M\"\n"
	                                     "vectors = 2\n"
	                                     "[[region.vm]]\nname = \"a\"\nsocket = \"{0}/a\"\n"
	                                     "[[region.vm]]\nname = \"b\"\nsocket = \"{0}/b\"\n"
	                                     "[[region.channel]]\nname = \"link\"\nsize = \"256K\"\n"
	                                     "sides = [\"a\", \"b\"]\n",
	                                     dir().path().string());
	host_process server{std::vector<std::string>{kvmchan_tool(), "serve", "-F", "-p", dir() / "pid", "-c", config}};
	const auto deadline = deadline_after(nominal::command);
	while (!std::filesystem::exists(dir() / "b") && server.running() && clock::now() < deadline)
		std::this_thread::sleep_for(20ms);
	ASSERT_TRUE(std::filesystem::exists(dir() / "b")) << server.out() << server.err();
	auto &a = boot({.devices = {ivshmem_doorbell{.id = "d", .socket = dir() / "a", .vectors = 2}}});
	auto &b = boot({.devices = {ivshmem_doorbell{.id = "d", .socket = dir() / "b", .vectors = 2}}});
	EXPECT_EQ(a.check("cat /sys/class/kvmchan/kvmchan0/side"), "0\n");
	EXPECT_EQ(b.check("cat /sys/class/kvmchan/kvmchan0/side"), "1\n");
	pass(a, b);
	// The server is not in the data's way: without it they go on.
	server.kill9();
	pass(a, b);
}

TEST_F(two_guests, over_plain_devices)
{
	const auto file = dir() / "region";
	kvmchan::create_region(
		file.string(),
		{.size = 4 << 20,
	         .slots = {{.name = "link", .side = {kvmchan::side_any, kvmchan::side_any}, .size = {1 << 18, 1 << 18}}}});
	const ivshmem_plain device{.id = "p", .memory = file};
	auto &a = boot({.devices = {device}, .module_params = {"side=0"}});
	auto &b = boot({.devices = {device}});
	pass(a, b);
}

} // namespace
