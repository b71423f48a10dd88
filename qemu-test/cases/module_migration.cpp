// SPDX-License-Identifier: MIT
/*
 * A machine that has both ends of a channel goes to another QEMU while bytes
 * flow. Its memory goes with it (master=on), into a region that nobody else
 * has: another one's writes would be overwritten on the way.
 */
#include "module_machine.hpp"

namespace {

using namespace module_test;

class module_migration : public guest_case {
protected:
	static ivshmem_plain masterful(ivshmem_plain device)
	{
		device.master = true;
		return device;
	}
	static guest_options machine(const region &memory)
	{
		return {.devices = {masterful(memory.plain("side0")), masterful(memory.plain("side1"))}, .shares = false};
	}
};

TEST_F(module_migration, with_bytes_on_their_way)
{
	const region here{dir() / "here", 1 << 20, {channel("moving", 16 << 10)}};
	auto &source = boot(machine(here));
	arrange_sides(source);
	// Of sessions of their own: PIDs that the harness knows end with the machine's move.
	source.check("head -c 20000000 /dev/urandom >/tmp/sent\n"
	             "for n in /sys/class/kvmchan/*; do\n"
	             "	[ $(cat $n/side) = 0 ] && ln -s /dev/${n##*/} /tmp/a || ln -s /dev/${n##*/} /tmp/b\n"
	             "done\n"
	             "setsid sh -c 'cat /tmp/b >/tmp/received; touch /tmp/read' </dev/null >/dev/null 2>&1 &\n"
	             "setsid sh -c 'dd if=/tmp/sent of=/tmp/a bs=500 2>/dev/null; echo $? >/tmp/written' </dev/null >/dev/null 2>&1 &");
	source.check("until [ -s /tmp/received ]; do usleep 1000; done");
	const region there{dir() / "there", 1 << 20, {}};
	auto &g = migrate(source, machine(there));
	const bool flows = g.run("test -e /tmp/written").exit != 0;
	g.check("until [ -e /tmp/read ]; do usleep 10000; done");
	EXPECT_TRUE(flows) << "all was through before the machine had moved";
	EXPECT_EQ(g.check("cat /tmp/written"), "0\n");
	EXPECT_EQ(g.run("cmp /tmp/sent /tmp/received").exit, 0);
}

} // namespace
