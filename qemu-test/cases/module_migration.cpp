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
	/* Returns when bytes have come that had not when it was called. */
	static void await_traffic(guest &g)
	{
		g.check("sum() { cat /sys/class/kvmchan/*/statistics/rx_bytes | awk '{ s += $1 } END { print s }'; }\n"
		        "was=$(sum); until [ $(sum) -gt $was ]; do usleep 1000; done");
	}
};

TEST_F(module_migration, with_bytes_on_their_way)
{
	const region here{dir() / "here", 1 << 20, {channel("moving", 16 << 10)}};
	auto &source = boot(machine(here));
	arrange_sides(source);
	// Of sessions of their own: PIDs that the harness knows end with the machine's move.
	source.check("head -c 60000 /dev/urandom >/tmp/piece\n"
	             "for n in /sys/class/kvmchan/*; do\n"
	             "	[ $(cat $n/side) = 0 ] && ln -s /dev/${n##*/} /tmp/a || ln -s /dev/${n##*/} /tmp/b\n"
	             "done\n"
	             "setsid sh -c 'md5sum </tmp/b >/tmp/received.new; mv /tmp/received.new /tmp/received' </dev/null >/dev/null 2>&1 &\n"
	             "setsid sh -c 'until [ -e /tmp/enough ]; do cat /tmp/piece; done | tee /tmp/a | md5sum >/tmp/sent' "
	             "</dev/null >/dev/null 2>&1 &");
	await_traffic(source);
	const region there{dir() / "there", 1 << 20, {}};
	auto &g = migrate(source, machine(there));
	await_traffic(g);
	g.check("touch /tmp/enough; until [ -e /tmp/received ]; do usleep 10000; done");
	EXPECT_EQ(g.check("cat /tmp/received"), g.check("cat /tmp/sent"));
}

} // namespace
