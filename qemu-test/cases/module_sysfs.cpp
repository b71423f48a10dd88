// SPDX-License-Identifier: MIT
// What the module shows in sysfs, debugfs and traces; its udev rules.
#include "module_machine.hpp"

#include <gmock/gmock.h>

namespace {

using namespace module_test;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename Flavour>
class module_sysfs : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { module_sysfs::share_both_sides(64 << 20, usual_slots(), false, {}, 128); }
};

TYPED_TEST_SUITE(module_sysfs, flavours, flavour_names);

TYPED_TEST(module_sysfs, counters)
{
	this->run("device_counters");
}

TYPED_TEST(module_sysfs, nodes_are_for_root_and_a_group)
{
	EXPECT_EQ(this->machine().check("stat -c '%a %U' /dev/kvmchan0"), "660 root\n");
	EXPECT_NE(this->machine().run("su nobody -s /bin/sh -c 'cat </dev/kvmchan0'").exit, 0);
}

/* Channels spread over vectors, and vectors over CPUs; each says where it may run. */
TYPED_TEST(module_sysfs, vectors_begin_on_different_cpus)
{
	const auto cpus = this->machine().check("for n in $(sed -n 's/^ *\\([0-9]*\\):.*kvmchan-[1-9].*/\\1/p' /proc/interrupts); do "
	                                        "cat /proc/irq/$n/smp_affinity_list; done | sort -u");
	EXPECT_EQ(cpus, TypeParam::doorbell ? "0\n1\n" : "");
}

/* ---- the mapping of BAR2 ---- */

class module_bars : public guest_case {
protected:
	/* Carries bytes and a mapped word through a region, and tells the memory's type. */
	std::string type_of(guest &g, std::uint64_t expected)
	{
		EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/memory_size | sort -u"),
		          fmt::format("{}\n", expected));
		arrange_sides(g);
		run_guest_tests(g, "memory_slots");
		run_guest_tests(g, {"bulk_random", "--gtest_filter=*over_4_kib"});
		return g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/memory_type | sort -u");
	}
	static std::vector<slot_spec> slots(std::uint64_t big)
	{
		return {channel("small", 4096), packets("packet4k", 4096), block("page", 4096), block("block", big)};
	}
};

TEST_F(module_bars, below_4_gib_are_write_back)
{
	const region memory{dir() / "region", 4 << 20, slots(1 << 20)};
	auto &g = boot({.devices = {memory.plain("side0"), memory.plain("side1")}});
	EXPECT_EQ(type_of(g, 4 << 20), "write-back\n");
}

TEST_F(module_bars, above_4_gib_are_write_back)
{
	const region memory{dir() / "region", 4 << 20, slots(1 << 20)};
	auto &g = boot({.devices = {memory.plain("side0"), memory.plain("side1")}, .bars_above_4g = true});
	EXPECT_EQ(type_of(g, 4 << 20), "write-back\n");
}

TEST_F(module_bars, of_one_mebibyte_have_no_struct_pages_and_work)
{
	const region memory{dir() / "region", 1 << 20, {channel("small", 4096), packets("packet4k", 4096)}};
	auto &g = boot({.devices = {memory.plain("side0"), memory.plain("side1")}});
	arrange_sides(g);
	run_guest_tests(g, {"bulk_random", "--gtest_filter=*over_4_kib"});
	run_guest_tests(g, {"mapped_rings", "--gtest_filter=*show_themselves_twice:*round_their_ends:*lose_no_wake_up"});
	// Small kernels cannot map memory without struct pages as they like.
	const bool can_choose = g.run("grep -q ' vmap_pfn$' /proc/kallsyms").exit == 0;
	EXPECT_EQ(g.check("cat /sys/bus/pci/drivers/kvmchan/*/ivshmem/memory_type | sort -u"),
	          can_choose ? "write-back\n" : "platform\n");
}

TEST_F(module_bars, of_64_kib_work)
{
	const region memory{dir() / "region", 64 << 10, {channel("small", 4096)}, 16};
	auto &g = boot({.devices = {memory.plain("side0"), memory.plain("side1")}});
	arrange_sides(g);
	run_guest_tests(g, {"bulk_random", "--gtest_filter=*stream_over_4_kib"});
}

/* ---- udev ---- */

TEST_F(module_bars, get_their_names_from_udev)
{
	if (!guest_architecture().is_of_host)
		GTEST_SKIP() << "udev is a program of the host";
	const auto rules = std::filesystem::path{__FILE__}.parent_path() / "../../kmod/60-kvmchan.rules";
	std::ifstream in{rules};
	const std::string text{std::istreambuf_iterator<char>{in}, {}};
	ASSERT_THAT(text, HasSubstr("kvmchan"));
	const region memory{dir() / "region", 1 << 20, {channel("metrics", 4096), channel("a.b:c@d", 4096)}};
	auto &g = boot({.devices = {memory.plain("dev")}});
	// One program, the daemon by its name.
	g.check("echo kvmchan:x:123: >>/etc/group; mkdir -p /run/udev/rules.d; "
	        "ln -s /host/bin/udevadm /tmp/systemd-udevd");
	g.put_file("/run/udev/rules.d/60-kvmchan.rules", text);
	auto daemon = g.spawn("exec /tmp/systemd-udevd --resolve-names=early");
	g.check("until [ -e /run/udev/control ]; do usleep 10000; done");
	const auto r = g.run(guest::host_program("/bin/udevadm", {"trigger", "--settle", "--subsystem-match=kvmchan"}));
	EXPECT_EQ(r.exit, 0) << r.err;
	EXPECT_THAT(g.check("readlink -f /dev/kvmchan/by-name/metrics"), HasSubstr("/dev/kvmchan"));
	g.check("test -c /dev/kvmchan/by-name/a.b:c@d");
	EXPECT_EQ(g.check("stat -L -c '%a %G' /dev/kvmchan/by-name/metrics"), "660 kvmchan\n");
	EXPECT_THAT(g.check("ls /dev/kvmchan/by-device"), HasSubstr("0000:"));
	EXPECT_THAT(daemon.err(), Not(HasSubstr("60-kvmchan.rules"))) << "udevd complained";
	daemon.kill9();
	g.check("rm -rf /dev/kvmchan");
}

} // namespace
