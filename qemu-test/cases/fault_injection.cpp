// SPDX-License-Identifier: MIT
/*
 * What the module asks the kernel for fails, one after the other. Needs a
 * kernel that can do this: scripts/kernel-matrix kasan -- fault_injection.
 * fault_filter in the environment: only those tests of the guest's program.
 */
#include "call_sites.hpp"
#include "module_machine.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <regex>
#include <set>

namespace {

using namespace module_test;

/**
 * What asks for memory, or moves it from or to a user's, of all that the module
 * calls. Nothing lets alloc_percpu fail, and so init_srcu_struct.
 */
const std::set<std::string> may_fail{
	"__class_register", "__kmalloc", "__pci_register_driver", "_copy_from_iter", "_copy_from_user", "_copy_to_iter",
	"_copy_to_user", "alloc_chrdev_region", "cdev_device_add", "debugfs_create_dir", "debugfs_create_file",
	"dev_set_name", "fasync_helper", "ida_alloc_range", "kmalloc_trace", "kvmalloc_node", "memremap",
	"memremap_pages", "pci_alloc_irq_vectors_affinity", "pci_iomap", "pci_request_region",
	"request_threaded_irq", "single_open", "vm_insert_page", "vmap", "vmap_pfn", "vmf_insert_pfn", "xa_store"};

struct machine {
	const char *name;
	bool doorbell;
	const char *tests; ///< of the guest's program
	std::uint64_t size;
	std::vector<slot_spec> slots;
	std::uint32_t table; ///< slots in it; 0: by size
};

void PrintTo(const machine &each, std::ostream *to)
{
	*to << each.name;
}

/* Its table is so short that the module's copy of it comes from where one failure is the end of it. */
machine usual(const char *name, bool doorbell, std::uint64_t size)
{
	return {name, doorbell, "-*crowd*", size,
	        {channel("stream", 64 << 10), channel("small", 4 << 10), channel("asym", 4 << 10, 64 << 10),
	         packets("packet4k", 4 << 10), block("block", 64 << 10)}, 8};
}

/* As many nodes on each side as a word without its lowest bit counts. */
machine crowd()
{
	machine all{"crowd", false, "*crowd*", 4 << 20, {}, 0};
	for (int i = 0; i < 63; ++i)
		all.slots.push_back(channel(fmt::format("many{}", i), 4 << 10));
	return all;
}

/* For 1 MiB the kernel has no struct pages, for 2 MiB it has. */
const std::vector<machine> machines{usual("plain", false, 1 << 20), usual("doorbell", true, 2 << 20), crowd()};

class fault_injection : public guest_case, public ::testing::WithParamInterface<machine> {
public:
	/* Once all guests have gone through everything. */
	static void TearDownTestSuite()
	{
		if (whole_runs < machines.size())
			return;
		const auto calls = call_sites(module_file(), may_fail);
		EXPECT_GE(calls.size(), 30U) << "the module asks for more than that";
		for (const auto &[site, callee] : calls)
			EXPECT_TRUE(failed.contains(site)) << site << ", a call of " << callee << ", has never failed";
		fmt::print("{} calls of the module may fail\n", calls.size());
	}

protected:
	/** Of the module's calls, with all guests. */
	static inline std::set<std::string> failed;
	static inline std::size_t whole_runs = 0;
};

/*
 * Which calls of the module failed: the innermost of its functions, and where
 * in it, of each stack that the kernel showed. What is behind a question mark
 * there is only left on the stack.
 */
std::set<std::string> failures_in(const std::string &log)
{
	static const std::regex frame{R"([^?] ([\w.]+\+0x[0-9a-f]+)/0x[0-9a-f]+ \[kvmchan\])"};
	// Another name of the same function, and the one in the module's relocations.
	static const std::regex init{R"(^kvmchan_init\+)"};
	std::set<std::string> sites;
	for (std::size_t at = 0; (at = log.find("forcing a failure", at)) != std::string::npos;) {
		const auto end = std::min(log.find("forcing a failure", ++at), log.size());
		std::smatch found;
		const std::string stack = log.substr(at, end - at);
		if (std::regex_search(stack, found, frame))
			sites.insert(std::regex_replace(found.str(1), init, "init_module+"));
	}
	return sites;
}

TEST_P(fault_injection, is_survived_everywhere)
{
	const auto &with = GetParam();
	const region memory{dir() / "region", with.size, with.slots, with.table};
	std::optional<doorbell_server> server;
	guest_options options;
	if (with.doorbell) {
		server.emplace(memory, dir().path(), 3U);
		options.devices = {server->device("side0"), server->device("side1")};
	} else {
		options.devices = {memory.plain("side0"), memory.plain("side1")};
	}
	// What counts and finds channels asks these caches: see the guest's failing_caches.
	options.kernel_args = "slub_debug=A,radix_tree_node,kmalloc-128";
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
	const char *filter = std::getenv("fault_filter");
	program.env["GTEST_FILTER"] = filter ? filter : with.tests;
	const auto report = run_guest_tests(g, program, nominal::program * 4);
	g.sync_logs();
	const auto sites = failures_in(g.dmesg());
	fmt::print("{}\n{} calls of the module have failed:\n", report.run.out, sites.size());
	for (const auto &each : sites)
		fmt::print("  {}\n", each);
	failed.insert(sites.begin(), sites.end());
	whole_runs += filter ? 0 : 1;
}

INSTANTIATE_TEST_SUITE_P(, fault_injection, ::testing::ValuesIn(machines),
                         [](const auto &each) { return each.param.name; });

} // namespace
