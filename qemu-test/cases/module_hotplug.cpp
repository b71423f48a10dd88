// SPDX-License-Identifier: MIT
// Devices and the driver come and go while their files are open.
#include "module_machine.hpp"

#include <gmock/gmock.h>

namespace {

using namespace module_test;
using ::testing::HasSubstr;

class module_hotplug : public guest_case {
protected:
	/* Blocked: a reader, a writer and holders of mapped memory; they tell how it ended. */
	struct sleepers {
		guest_command reader;
		guest_command writer;
	};
	static sleepers start(guest &g)
	{
		auto reader = g.spawn("n=/dev/$(cd /sys/class/kvmchan; grep -lx reads */name | cut -d/ -f1); echo up; "
		                      "dd if=$n bs=100 count=1 2>&1");
		auto writer = g.spawn("n=/dev/$(cd /sys/class/kvmchan; grep -lx writes */name | cut -d/ -f1); echo up; "
		                      "dd if=/dev/zero of=$n bs=64k count=1 2>&1");
		reader.wait_output("up");
		writer.wait_output("up");
		wait_state(g, "reads", "waiting");
		wait_state(g, "writes", "waiting");
		return {std::move(reader), std::move(writer)};
	}
	static void wait_state(guest &g, const std::string &name, const std::string &state)
	{
		command wait{"until [ \"$(cat $(dirname $(grep -lx $NAME /sys/class/kvmchan/*/name))/state)\" = $STATE ]; "
		             "do usleep 10000; done"};
		wait.env = {{"NAME", name}, {"STATE", state}};
		g.check(wait);
	}
	static void expect_no_device(sleepers &s)
	{
		for (auto *each : {&s.reader, &s.writer}) {
			const auto r = each->wait();
			EXPECT_NE(r.exit, 0);
			EXPECT_THAT(r.out, HasSubstr("No such device"));
		}
	}
	static std::vector<slot_spec> slots()
	{
		return {channel("reads", 4096), channel("writes", 4096), block("memory", 1 << 20)};
	}
	static void wait_nodes(guest &g, int count)
	{
		g.check("until [ $(ls /sys/class/kvmchan | wc -l) = " + std::to_string(count) + " ]; do usleep 10000; done");
	}
	static std::string count_nodes(guest &g) { return g.check("ls /sys/class/kvmchan | wc -l"); }
};

TEST_F(module_hotplug, unplugs_under_sleepers_and_plugs_again)
{
	const region memory{dir() / "region", 4 << 20, slots()};
	auto &g = boot({.root_ports = {{.id = "rp"}}});
	for (int round = 0; round < 2; ++round) {
		g.hotplug(memory.plain("hot", "rp"));
		wait_nodes(g, 3);
		auto s = start(g);
		auto holder = g.spawn("exec /tests/memory_holder");
		holder.wait_output("mapped");
		g.unplug("hot");
		expect_no_device(s);
		holder.write_stdin("touch\n");
		EXPECT_EQ(holder.wait().signal, SIGBUS);
		EXPECT_EQ(count_nodes(g), "0\n");
	}
}

TEST_F(module_hotplug, unbinds_under_sleepers_and_binds_again)
{
	const region memory{dir() / "region", 4 << 20, slots()};
	doorbell_server server{memory, dir().path(), 2};
	auto &g = boot({.devices = {server.device("dev")}});
	const std::string device = "d=$(basename $(ls -d /sys/bus/pci/drivers/kvmchan/0000:*)); ";
	for (int round = 0; round < 3; ++round) {
		auto s = start(g);
		auto holder = g.spawn("exec /tests/memory_holder");
		holder.wait_output("mapped");
		const auto address = g.check(device + "echo $d; echo $d >/sys/bus/pci/drivers/kvmchan/unbind");
		expect_no_device(s);
		holder.write_stdin("touch\n");
		EXPECT_EQ(holder.wait().signal, SIGBUS);
		EXPECT_EQ(count_nodes(g), "0\n");
		EXPECT_EQ(g.check("grep -c kvmchan /proc/interrupts; true"), "0\n");
		g.check("echo " + address.substr(0, address.find('\n')) + " >/sys/bus/pci/drivers/kvmchan/bind");
		wait_nodes(g, 3);
	}
}

TEST_F(module_hotplug, tells_a_guarded_program_that_its_window_is_gone)
{
	const region memory{dir() / "region", 4 << 20, slots()};
	auto &g = boot({.root_ports = {{.id = "rp"}}});
	for (int round = 0; round < 2; ++round) {
		g.hotplug(memory.plain("hot", "rp"));
		wait_nodes(g, 3);
		auto holder = g.spawn("exec /tests/window_holder");
		holder.wait_output("mapped");
		g.unplug("hot");
		holder.write_stdin("touch\n");
		const auto r = holder.wait();
		EXPECT_EQ(r.exit, 0) << r.err;
		EXPECT_EQ(r.out, "mapped\ncommit: No such device\nreserve: No such device\n"
		                 "peek: No such device\nreconnect: No such device\n");
	}
}

TEST_F(module_hotplug, keeps_the_module_while_a_file_is_open)
{
	const region memory{dir() / "region", 4 << 20, slots()};
	auto &g = boot({.devices = {memory.plain("dev")}});
	g.check("until [ -e /dev/kvmchan2 ]; do usleep 10000; done");
	auto s = start(g);
	EXPECT_NE(g.run("rmmod kvmchan").exit, 0);
	s.reader.kill9();
	s.writer.kill9();
	for (int round = 0; round < 5; ++round) {
		g.unload_module();
		g.load_module();
		g.check("until [ -e /dev/kvmchan2 ]; do usleep 10000; done");
	}
}

TEST_F(module_hotplug, refuses_a_device_without_room_for_its_memory)
{
	// Linux keeps the windows of a PC's firmware, and makes others larger.
	if (!guest_architecture().is_pc)
		GTEST_SKIP() << "there is room";
	const region memory{dir() / "region", 4 << 20, slots()};
	auto &g = boot({.root_ports = {{.id = "rp", .prefetch_reserve = "0"}}});
	auto device = memory.plain("cramped", "rp");
	g.hotplug(device);
	g.wait_log("BAR2 has no memory");
	EXPECT_EQ(count_nodes(g), "0\n");
	g.unplug("cramped");
}

TEST_F(module_hotplug, tells_two_devices_apart)
{
	const region first{dir() / "first", 1 << 20, {channel("same", 4096), channel("one", 4096)}};
	const region second{dir() / "second", 1 << 20, {channel("same", 8192)}};
	auto &g = boot({.devices = {first.plain("first")}, .root_ports = {{.id = "rp"}}});
	g.hotplug(second.plain("second", "rp"));
	wait_nodes(g, 3);
	EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/0000:00:*/kvmchan/*/rx_size"), "4096\n4096\n");
	EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/0000:01:*/kvmchan/*/rx_size"), "8192\n");
	g.unplug("second");
	wait_nodes(g, 2);
}

TEST_F(module_hotplug, begins_anew_after_a_reset_in_place)
{
	region memory{dir() / "region", 4 << 20, slots()};
	auto &g = boot({.devices = {memory.plain("dev")}});
	g.check("until [ -e /dev/kvmchan2 ]; do usleep 10000; done");
	start(g);
	const auto *control = memory.control("reads");
	const auto link = kvmchan_load(&control->side[1].session.link);
	EXPECT_TRUE(link & KVMCHAN_LINK_OPEN);
	g.reset();
	g.check("until [ -e /dev/kvmchan2 ]; do usleep 10000; done");
	const auto after = kvmchan_load(&control->side[1].session.link);
	EXPECT_FALSE(after & KVMCHAN_LINK_OPEN) << "the session of before the reset is over";
	EXPECT_GT(kvmchan_link_epoch(after), kvmchan_link_epoch(link));
	auto s = start(g);
	s.reader.kill9();
	s.writer.kill9();
}

} // namespace
