// SPDX-License-Identifier: MIT
#include "guest_setup.hpp"

#include "boot_files.hpp"
#include "error.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace bench {

void load_modules(harness::guest &machine)
{
	const auto extra = harness::kernel_directory() / "extra";
	if (!std::filesystem::exists(extra))
		throw harness::error{"no " + extra.string() + ": run scripts/kernel-image"};
	machine.check(fmt::format("set -e\n"
	                          "for module in /host{}/*.ko /host{}/*.ko; do\n"
	                          "	insmod $module\n"
	                          "done\n",
	                          std::filesystem::canonical(extra).string(), BENCH_LIMITS));
}

void link_names(harness::guest &machine)
{
	machine.check("mkdir -p /dev/kvmchan/by-name\n"
	              "rm -f /dev/kvmchan/by-name/*\n"
	              "for node in /sys/class/kvmchan/*; do\n"
	              "	ln -s /dev/${node##*/} /dev/kvmchan/by-name/$(cat $node/name)\n"
	              "done\n");
}

void unlink_names(harness::guest &machine)
{
	machine.check("rm -r /dev/kvmchan");
}

} // namespace bench
