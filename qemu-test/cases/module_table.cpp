// SPDX-License-Identifier: MIT
// The table of a region as the module follows it, from inside and outside.
#include "module_machine.hpp"

#include <gmock/gmock.h>

#include <csignal>

namespace {

using namespace module_test;
using ::testing::HasSubstr;

class module_table : public guest_case {};

/* What the nodes of a guest are called. */
std::string names(guest &g)
{
	return g.check("cat /sys/class/kvmchan/*/name 2>/dev/null; true");
}

void wait_names(guest &g, const std::string &expected)
{
	command wait{"until [ \"$(cat /sys/class/kvmchan/*/name 2>/dev/null)\" = \"$NAMES\" ]; do usleep 20000; done"};
	wait.env["NAMES"] = expected;
	g.check(wait);
}

TEST_F(module_table, changes_under_open_files)
{
	const region memory{dir() / "region", 16 << 20, {channel("stays", 4096)}};
	auto &g = boot({.devices = {memory.plain("side0"), memory.plain("side1"), memory.plain("raw")}});
	arrange_sides(g);
	run_guest_tests(g, "table_changes");
}

TEST_F(module_table, is_found_when_the_region_is_formatted_late)
{
	const auto file = dir().make_region("region", 1 << 20);
	auto &g = boot({.devices = {ivshmem_plain{.id = "late", .memory = file}}});
	EXPECT_EQ(names(g), "");
	EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/incarnation"), "none\n");
	region memory{file, 1 << 20, {channel("first", 4096)}};
	wait_names(g, "first");
	memory.reformat();
	memory.table().add(channel("second", 4096));
	wait_names(g, "second");
	memory.table().remove("second");
	wait_names(g, "");
}

TEST_F(module_table, is_read_again_when_the_server_rings)
{
	const region memory{dir() / "region", 1 << 20, {}};
	doorbell_server server{memory, dir().path(), 2};
	auto &g = boot({.devices = {server.device("served")}});
	EXPECT_EQ(names(g), "");
	// The file with a channel more, and a reload.
	std::ofstream{dir() / "server.toml", std::ios::app} << "[[region.channel]]\nname = \"added\"\n"
	                                                       "size = [\"4K\", \"8K\"]\nsides = [\"host\", \"any\"]\n";
	server.process().signal(SIGHUP);
	wait_names(g, "added");
	EXPECT_EQ(g.check("cat /sys/class/kvmchan/kvmchan0/tx_size"), "8192\n");
	EXPECT_THAT(g.check("cat /proc/interrupts"), HasSubstr("kvmchan-0:"));
	// It is the doorbell that told, not a timer: vector 0 has counted.
	EXPECT_NE(g.check("awk '/kvmchan-0:/ { print $2 + $3 }' /proc/interrupts"), "0\n");
}

TEST_F(module_table, gives_only_our_slots)
{
	auto host_only = channel("for-host", 4096);
	host_only.side = {KVMCHAN_PEER_HOST, KVMCHAN_PEER_HOST};
	auto for_77 = channel("for-77", 4096);
	for_77.side = {KVMCHAN_PEER_HOST, 77};
	auto for_0 = channel("for-0", 4096);
	for_0.side = {0, KVMCHAN_PEER_HOST};
	const region memory{dir() / "region", 1 << 20, {host_only, for_77, for_0}};
	doorbell_server server{memory, dir().path(), 1};
	auto &g = boot({.devices = {server.device("id0")}});
	wait_names(g, "for-0");
	EXPECT_EQ(g.check("cat /sys/class/kvmchan/kvmchan0/side"), "0\n");
	EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/ivposition"), "0\n");
}

TEST_F(module_table, is_followed_with_any_number_of_vectors)
{
	for (const unsigned vectors : {1U, 2U, 8U, 32U}) {
		const auto where = dir() / fmt::format("v{}", vectors);
		std::filesystem::create_directory(where);
		const region memory{where / "region", 4 << 20, {channel("a", 4096), channel("b", 4096), channel("c", 65536)}};
		doorbell_server server{memory, where, vectors};
		auto &g = boot({.devices = {server.device("side0"), server.device("side1")}});
		arrange_sides(g);
		EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/vectors"),
		          fmt::format("{0}\n{0}\n", vectors));
		for (const char *name : {"a", "b", "c"}) {
			command echo{"a= b=\n"
			             "for n in /sys/class/kvmchan/*; do\n"
			             "	[ $(cat $n/name) = $NAME ] || continue\n"
			             "	[ $(cat $n/side) = 0 ] && a=/dev/${n##*/} || b=/dev/${n##*/}\n"
			             "done\n"
			             "head -c 100000 /dev/zero >$a & head -c 100000 $b | wc -c; wait"};
			echo.env["NAME"] = name;
			EXPECT_EQ(g.check(echo), "100000\n") << vectors << " vectors";
		}
		// 0 is for the table, the others are shared out; one is for all.
		EXPECT_EQ(g.check("cat /sys/class/kvmchan/*/vector | sort -u | head -n1"),
		          vectors == 1 ? "0\n" : "1\n");
		g.shutdown();
	}
}

} // namespace
