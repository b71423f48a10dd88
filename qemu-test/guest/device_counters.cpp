// SPDX-License-Identifier: MIT
// What the module tells of itself: counters, debugfs, tracepoints.
#include "node.hpp"

#include <gmock/gmock.h>

#include <sstream>

namespace {

using namespace node;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

std::string text_of(const std::filesystem::path &file)
{
	std::ifstream in{file};
	std::ostringstream text;
	text << in.rdbuf();
	return text.str();
}

TEST(device_counters, count_what_was_carried)
{
	const auto before_tx = counter("stream", 0, "tx_bytes"), before_rx = counter("stream", 1, "rx_bytes");
	const auto p = connect("stream");
	write_all(p.a, bytes(12'345));
	read_all(p.b, 12'345);
	EXPECT_EQ(counter("stream", 0, "tx_bytes"), before_tx + 12'345);
	EXPECT_EQ(counter("stream", 1, "rx_bytes"), before_rx + 12'345);
	EXPECT_EQ(counter("stream", 0, "tx_records"), 0U);
}

TEST(device_counters, count_records)
{
	const auto sent = counter("packet", 0, "tx_records"), got = counter("packet", 1, "rx_records");
	const auto bytes_before = counter("packet", 1, "rx_bytes");
	const auto p = connect("packet");
	std::string text;
	for (std::size_t i = 1; i <= 10; ++i) {
		write_all(p.a, bytes(i));
		EXPECT_EQ(read(p.b, text), static_cast<ssize_t>(i));
	}
	EXPECT_EQ(counter("packet", 0, "tx_records"), sent + 10);
	EXPECT_EQ(counter("packet", 1, "rx_records"), got + 10);
	EXPECT_EQ(counter("packet", 1, "rx_bytes"), bytes_before + 55) << "payload, without heads";
}

TEST(device_counters, count_full_and_empty_rings)
{
	const auto p = connect("small");
	const auto full = counter("small", 0, "ring_full"), empty = counter("small", 1, "ring_empty");
	std::string text;
	EXPECT_EQ(read(p.b, text), -1);
	EXPECT_GT(counter("small", 1, "ring_empty"), empty);
	write_all(p.a, bytes(4096));
	EXPECT_EQ(write(p.a, "x"), -1);
	EXPECT_GT(counter("small", 0, "ring_full"), full);
}

TEST(device_counters, count_doorbells_only_when_they_ring)
{
	const bool doorbells = attribute("stream", 0, "vector") != "none";
	const auto p = connect("stream");
	std::string text;
	const auto sent = counter("stream", 0, "doorbells_sent"), kept = counter("stream", 0, "doorbells_suppressed");
	const auto interrupts = counter("stream", 1, "interrupts");
	EXPECT_EQ(read(p.b, text), -1) << "now it waits to be rung";
	write_all(p.a, "first");
	EXPECT_TRUE(eventually([&] { return !doorbells || counter("stream", 1, "interrupts") > interrupts; }));
	EXPECT_EQ(counter("stream", 0, "doorbells_sent"), sent + doorbells);
	write_all(p.a, "second");
	EXPECT_EQ(counter("stream", 0, "doorbells_sent"), sent + doorbells) << "the reader has not asked again";
	EXPECT_GT(counter("stream", 0, "doorbells_suppressed"), kept);
}

TEST(device_counters, are_explained_by_debugfs)
{
	const auto p = connect("stream");
	write_all(p.a, bytes(77));
	const auto own = text_of("/sys/kernel/debug/kvmchan" / sysfs("stream", 0).filename());
	EXPECT_THAT(own, HasSubstr("phase paired\n"));
	EXPECT_THAT(own, HasSubstr("confirmed 1\n"));
	EXPECT_THAT(own, HasSubstr("own.flags open paired\n"));
	EXPECT_THAT(own, HasSubstr("peer.flags open paired\n"));
	EXPECT_THAT(own, ContainsRegex("own.tx_prod [0-9]+\n"));
	EXPECT_THAT(own, HasSubstr("broken 0\n"));
	EXPECT_THAT(text_of("/sys/kernel/debug/kvmchan" / sysfs("packet", 0).filename()), HasSubstr("phase closed\n"));
}

TEST(device_counters, are_traced)
{
	const std::filesystem::path tracing = "/sys/kernel/tracing";
	const bool doorbells = attribute("stream", 0, "vector") != "none";
	std::ofstream{tracing / "trace"} << "";
	std::ofstream{tracing / "events/kvmchan/enable"} << 1;
	std::string trace;
	const auto name = sysfs("stream", 0).filename().string();
	{
		const auto p = connect("stream");
		std::string text;
		EXPECT_EQ(read(p.b, text), -1);
		write_all(p.a, bytes(123));
		EXPECT_EQ(read_all(p.b, 123), bytes(123));
		EXPECT_TRUE(eventually([&] {
			trace = text_of(tracing / "trace");
			return !doorbells || trace.find("kvmchan_irq: ") != trace.npos;
		}));
	}
	trace = text_of(tracing / "trace");
	std::ofstream{tracing / "events/kvmchan/enable"} << 0;
	EXPECT_THAT(trace, ContainsRegex("kvmchan_session: " + name + " begin epoch=[0-9]+ acked=[0-9]+"));
	EXPECT_THAT(trace, ContainsRegex("kvmchan_session: " + name + " end epoch="));
	EXPECT_THAT(trace, ContainsRegex("kvmchan_write: " + name + " bytes=123 ring="));
	EXPECT_THAT(trace, HasSubstr("kvmchan_read: " + sysfs("stream", 1).filename().string() + " bytes=123 ring="));
	if (doorbells) {
		EXPECT_THAT(trace, HasSubstr("kvmchan_doorbell: " + name + " peer="));
		EXPECT_THAT(trace, ContainsRegex("kvmchan_irq: .*vector="));
	}
}

TEST(device_counters, name_the_device)
{
	for (const unsigned side : {0U, 1U}) {
		const auto ivshmem = sysfs("stream", side) / "device" / "ivshmem";
		EXPECT_EQ(first_line(ivshmem / "prefer_side"), std::to_string(side));
		EXPECT_EQ(first_line(ivshmem / "memory_type"), "write-back");
		EXPECT_EQ(first_line(ivshmem / "incarnation").size(), 32U);
		EXPECT_GT(std::stoull(first_line(ivshmem / "memory_size")), 0U);
		const auto id = first_line(ivshmem / "ivposition");
		EXPECT_EQ(id, first_line(ivshmem / "flavour") == "plain" ? "-1" : std::to_string(side));
	}
	const auto prefer = sysfs("stream", 1) / "device" / "ivshmem" / "prefer_side";
	for (const char *bad : {"2", "x", "-1"}) {
		std::ofstream out{prefer};
		out << bad << std::flush;
		EXPECT_FALSE(out.good()) << bad;
	}
	EXPECT_EQ(first_line(prefer), "1");
}

/* The node of a channel that one of the devices has, whatever its side. */
std::string node_of(const std::filesystem::path &device, std::string_view name)
{
	for (const auto &each : std::filesystem::directory_iterator{device / "kvmchan"}) {
		if (first_line(each.path() / "name") == name)
			return "/dev" / each.path().filename();
	}
	return {};
}

TEST(device_counters, tell_of_two_peers_that_take_one_side)
{
	const auto first = std::filesystem::canonical(sysfs("stream", 0) / "device");
	const auto second = std::filesystem::canonical(sysfs("stream", 1) / "device");
	const auto prefer = [&](const char *side) { std::ofstream{first / "ivshmem" / "prefer_side"} << side; };
	const auto said = [] { return logged("stream: another peer writes as side 1, too"); };
	settle("stream");
	EXPECT_FALSE(said()) << "without a cause";
	prefer("1");
	for (const auto &device : {first, second})
		EXPECT_TRUE(unique_fd{::open(node_of(device, "stream").c_str(), nonblocking | O_CLOEXEC)}) << device;
	EXPECT_TRUE(said());
	prefer("0");
	expect_works("stream");
}

} // namespace
