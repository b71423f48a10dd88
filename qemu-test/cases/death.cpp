// SPDX-License-Identifier: MIT
/*
 * What the survivor sees when the other one is killed, reset or unplugged, as
 * kmod/FORMAT.md states it: the rest of what was published, then the end, and
 * a new session works.
 */
#include "guest_case.hpp"
#include "region_server.hpp"

#include <fmt/core.h>
#include <kvmchan/channel.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <string>

namespace {

using namespace harness;
using namespace std::chrono_literals;
using kvmchan::link_state;

std::span<const std::byte> bytes_of(std::string_view text)
{
	return std::as_bytes(std::span{text});
}

/** Says how long something took: for whoever reads the log, not for a verdict. */
class stopwatch {
public:
	explicit stopwatch(const char *what) : what_{what} {}
	~stopwatch()
	{
		const auto took = std::chrono::steady_clock::now() - start_;
		fmt::print("{}: {} ms\n", what_, std::chrono::duration_cast<milliseconds>(took).count());
	}

private:
	const char *what_;
	std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class death : public guest_case {
protected:
	death() : server_{{.vectors = 2, .args = {"--channel", "c", "--vm", "guest"}}} {}

	guest &start(guest_options options = {})
	{
		options.devices = {server_.device("d0", "guest")};
		return boot(options);
	}

	/* A process of its own, to be killed. It reads, and writes what it is told. */
	host_process host_end() const
	{
		return host_process{{kvmchan_tool(), "connect", "--server", server_.socket(), "c"}};
	}

	static void wait_state(guest &g, const std::string &state)
	{
		g.check("until grep -qx " + state + " /sys/class/kvmchan/kvmchan0/state; do sleep 0.02; done");
	}

	/* The session of a host that had a peer comes to its end. */
	static void expect_end(kvmchan::channel &channel)
	{
		std::array<std::byte, 4096> rest;
		std::error_code ec;
		while (channel.read_some(rest, ec) > 0 && !ec)
			;
		EXPECT_FALSE(ec) << ec.message();
		channel.write_some(bytes_of("x"), ec);
		EXPECT_EQ(ec, std::errc::broken_pipe) << ec.message();
		EXPECT_EQ(channel.state(), link_state::disconnected);
	}

	/* After all that, a new session passes bytes both ways. */
	static void expect_new_session(guest &g, kvmchan::channel &channel)
	{
		channel.reconnect();
		auto reader = g.spawn("cat /dev/kvmchan0");
		channel.write_all(bytes_of("again"));
		channel.shutdown_write();
		EXPECT_EQ(reader.wait().out, "again");
	}

	kvmchan::channel connect(const kvmchan::region &region, guest &g, guest_command &holder)
	{
		kvmchan::channel channel{region, "c"};
		holder = g.spawn("exec 3<>/dev/kvmchan0; echo ready >&3; exec sleep 100000");
		std::array<std::byte, 16> hello;
		EXPECT_GT(channel.read_some(hello), 0U);
		EXPECT_EQ(channel.state(), link_state::connected);
		return channel;
	}

	region_server server_;
};

TEST_F(death, of_the_host_process_ends_the_guests_session)
{
	auto &g = start();
	auto host = host_end();
	host.write_stdin("last words");
	auto reader = g.spawn("cat /dev/kvmchan0");
	reader.wait_output("last words");
	{
		const stopwatch watch{"the guest sees the host's death after"};
		host.kill9();
		EXPECT_EQ(reader.wait().out, "last words");
	}
	auto next = host_end();
	next.write_stdin("next");
	auto again = g.spawn("cat /dev/kvmchan0");
	again.wait_output("next");
	next.close_stdin();
	EXPECT_EQ(again.wait().out, "next");
	EXPECT_EQ(next.wait().exit, 0);
}

TEST_F(death, of_the_host_process_wakes_a_blocked_writer)
{
	auto &g = start();
	auto host = host_end();
	auto writer = g.spawn("cat /dev/zero > /dev/kvmchan0");
	wait_state(g, "connected");
	host.stop(); // reads no more
	g.check("f=/sys/class/kvmchan/kvmchan0/statistics/tx_bytes; "
	        "until [ $(cat $f) = $(sleep 0.3; cat $f) ]; do :; done");
	host.kill9();
	const auto r = writer.wait();
	EXPECT_NE(r.exit, 0);
	EXPECT_NE(r.err.find("Broken pipe"), std::string::npos) << r.err;
}

TEST_F(death, of_qemu_ends_the_hosts_session)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto &g = start();
	guest_command holder = g.spawn("true");
	auto channel = connect(region, g, holder);
	{
		const stopwatch watch{"kill -9 of QEMU, until the host sees it"};
		g.kill9();
		expect_end(channel);
	}
	// Another machine takes its place.
	auto &next = start();
	expect_new_session(next, channel);
}

TEST_F(death, of_the_server_leaves_channels_alone)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto &g = start();
	guest_command holder = g.spawn("true");
	auto channel = connect(region, g, holder);
	server_.process().kill9();
	EXPECT_EQ(channel.state(), link_state::connected);
	{
		const stopwatch watch{"kill -9 of a guest's process without a server, until the host sees it"};
		holder.kill9();
		expect_end(channel);
	}
	expect_new_session(g, channel);
}

TEST_F(death, of_a_guest_process_ends_the_hosts_session)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto &g = start();
	guest_command holder = g.spawn("true");
	auto channel = connect(region, g, holder);
	{
		const stopwatch watch{"kill -9 of a guest's process, until the host sees it"};
		holder.kill9();
		expect_end(channel);
	}
	expect_new_session(g, channel);
}

TEST_F(death, by_a_reset_in_place)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto &g = start();
	guest_command holder = g.spawn("true");
	auto channel = connect(region, g, holder);
	{
		const stopwatch watch{"a reset, with the guest's boot, until the host sees it"};
		g.reset();
		expect_end(channel);
	}
	expect_new_session(g, channel);
}

TEST_F(death, by_removal_of_the_module)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto &g = start();
	guest_command holder = g.spawn("true");
	auto channel = connect(region, g, holder);
	// rmmod is refused while a file is open; unbinding is not.
	EXPECT_NE(g.run("rmmod kvmchan").exit, 0);
	g.check("cd /sys/bus/pci/drivers/kvmchan; for d in 0000:*; do echo $d > unbind; done");
	expect_end(channel);
	holder.kill9();
	g.unload_module();
	g.load_module();
	expect_new_session(g, channel);
}

TEST_F(death, by_unplugging)
{
	const auto region = kvmchan::region::attach(server_.socket());
	auto device = server_.device("d1", "guest");
	device.bus = "rp1";
	auto &g = boot({.root_ports = {{.id = "rp1"}}});
	for (int round = 0; round < 3; ++round) {
		g.hotplug(device);
		g.check("until test -e /dev/kvmchan0; do sleep 0.05; done");
		guest_command holder = g.spawn("true");
		auto channel = connect(region, g, holder);
		{
			const stopwatch watch{"unplugging, until the host sees it"};
			g.unplug("d1");
			expect_end(channel);
		}
		g.check("until ! test -e /dev/kvmchan0; do sleep 0.05; done");
		holder.kill9();
	}
	g.hotplug(device);
	g.check("until test -e /dev/kvmchan0; do sleep 0.05; done");
	kvmchan::channel channel{region, "c"};
	expect_new_session(g, channel);
}

} // namespace
