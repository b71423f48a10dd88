// SPDX-License-Identifier: MIT
/*
 * What the module asks the kernel for fails, one after the other. Needs a
 * kernel that can do this: scripts/kernel-matrix kasan -- fault_injection.
 * fault_filter in the environment: only those tests of the guest's program.
 */
#include "module_machine.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <regex>
#include <set>

namespace {

using namespace module_test;

class fault_injection : public guest_case, public ::testing::WithParamInterface<bool> {};

/*
 * Which calls of the module failed: the innermost of its functions, and where
 * in it, of each stack that the kernel showed.
 */
std::set<std::string> sites_in(const std::string &log)
{
	static const std::regex frame{R"((\w+\+0x[0-9a-f]+)/0x[0-9a-f]+ \[kvmchan\])"};
	std::set<std::string> sites;
	for (std::size_t at = 0; (at = log.find("forcing a failure", at)) != std::string::npos;) {
		const auto end = std::min(log.find("forcing a failure", ++at), log.size());
		std::smatch found;
		const std::string stack = log.substr(at, end - at);
		if (std::regex_search(stack, found, frame))
			sites.insert(found[1]);
	}
	return sites;
}

TEST_P(fault_injection, is_survived_everywhere)
{
	const region memory{dir() / "region", 4 << 20,
	                    {channel("stream", 64 << 10), channel("small", 4 << 10), channel("asym", 4 << 10, 64 << 10),
	                     packets("packet4k", 4 << 10), block("block", 64 << 10)}};
	std::optional<doorbell_server> server;
	guest_options options;
	if (GetParam()) {
		server.emplace(memory, dir().path(), 3U);
		options.devices = {server->device("side0"), server->device("side1")};
	} else {
		options.devices = {memory.plain("side0"), memory.plain("side1")};
	}
	// Linux 6.1 forgets the name of a class that cannot be registered; whether
	// anything else leaked is looked at when the guest ends.
	options.leaky = {"__class_register"};
	allow_log("kmemleak: [0-9]+ new suspected memory leaks");
	// Linux 6.1 dies when it finds no memory for a piece of its tree of interrupts:
	// these have theirs in all pieces in which the module will have its own.
	for (int i = 0; i < 4; ++i)
		options.qemu_args.insert(options.qemu_args.end(), {"-device", "virtio-serial-pci"});
	auto &g = boot(std::move(options));
	if (!g.run("test -d /sys/kernel/debug/failslab"))
		GTEST_SKIP() << "this kernel cannot fail on demand: see scripts/kernel-matrix";
	arrange_sides(g);
	allow_log("Call Trace:");
	// The kernel's own: adding pages, and taking back a driver's attributes or an
	// interrupt's files in /proc that it could not make, are not expected to fail;
	// nor are notes of kmemleak.
	allow_log("VM_FAULT_OOM leaked out");
	allow_log("at arch/x86/mm/init_64.c:[0-9]+ add_pages");
	allow_log("at fs/sysfs/group.c:[0-9]+ sysfs_remove_group");
	allow_log("at fs/proc/generic.c:[0-9]+ remove_proc_entry");
	allow_log("kmemleak: Cannot allocate");
	command program{"fault_injection"};
	if (const char *filter = std::getenv("fault_filter"))
		program.env["GTEST_FILTER"] = filter;
	const auto report = run_guest_tests(g, program, nominal::program * 4);
	g.sync_logs();
	const auto sites = sites_in(g.dmesg());
	fmt::print("{}\n{} calls of the module have failed:\n", report.run.out, sites.size());
	for (const auto &each : sites)
		fmt::print("  {}\n", each);
	EXPECT_TRUE(sites.size() > 15 || std::getenv("fault_filter")) << "the module asks for more than that";
}

INSTANTIATE_TEST_SUITE_P(, fault_injection, ::testing::Bool(),
                         [](const auto &flavour) { return flavour.param ? "doorbell" : "plain"; });

} // namespace
