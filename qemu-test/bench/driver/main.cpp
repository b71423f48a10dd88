// SPDX-License-Identifier: MIT
/*
 * bench-guests: what programs reach across the boundary of a virtual machine,
 * with kvmchan, with what else there is, and at the limits. See README.md.
 */
#include "descriptors.hpp"
#include "error.hpp"
#include "io_thread.hpp"
#include "machine.hpp"
#include "pair.hpp"
#include "pair_runner.hpp"
#include "profile.hpp"
#include "runner.hpp"
#include "samples.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>

namespace {

using namespace bench;

struct command_line {
	effort how;
	std::filesystem::path output;
	std::string only;
	std::filesystem::path profile;
};

command_line parse(CLI::App &app, int argc, char **argv)
{
	command_line out;
	bool quick = false;
	auto *full = app.add_flag("--full", out.how.full, "All sizes, several boots, with one CPU and two");
	app.add_flag("--quick", quick, "What the targets need, in one boot (default)")->excludes(full);
	app.add_option("--output", out.output, "Where to write the samples, JSON Lines (default: standard output)");
	app.add_option("--only", out.only, "Only what matches this regular expression, by \"path slot direction size channels spin\"");
	app.add_option("--profile", out.profile,
	               "Write here, instead, which functions of the guest run how many instructions for a message; takes TCG");
	app.parse(argc, argv);
	if (out.how.full)
		out.how.boots = 2, out.how.rounds = 4, out.how.time = std::chrono::milliseconds{400}, out.how.round_trips = 5000;
	out.how.only = std::regex{out.only};
	return out;
}

/* Whatever hangs: a thread of ours may be in it, so there is no orderly end. */
template <typename Machine>
void measured(Machine &at, const std::function<void()> &work)
{
	try {
		work();
	} catch (const harness::deadline_error &e) {
		std::cerr << "bench-guests: " << e.what() << std::endl;
		at.abandon();
		std::_Exit(1);
	}
	at.finish();
}

void run_boot(samples &to, const effort &how, unsigned cpus, unsigned boot)
{
	machine at{cpus, how.full ? 3U : 0U, nullptr};
	if (boot == 0) {
		auto release = at.vm().check("uname -r");
		release.pop_back();
		auto meta = describe_host(release);
		meta["effort"] = how.full ? "full" : "quick";
		to.write({{"meta", meta}});
	}
	measured(at, [&] { runner{at, to, how, cpus, boot}.run(); });
}

/* Instructions are counted for one CPU. */
void run_profiled(samples &to, const command_line &wanted)
{
	profile counts{wanted.profile};
	machine at{1, 0, &counts};
	measured(at, [&] { runner{at, to, wanted.how, 1, 0}.run_profiled(counts); });
}

} // namespace

int main(int argc, char **argv)
{
	CLI::App app{"Benchmarks of kvmchan between a guest and the host"};
	command_line wanted;
	try {
		wanted = parse(app, argc, argv);
	} catch (const CLI::ParseError &e) {
		return app.exit(e);
	}
	try {
		use_all_descriptors();
		harness::io();
		samples to{wanted.output};
		if (!wanted.profile.empty()) {
			run_profiled(to, wanted);
			return 0;
		}
		for (unsigned boot = 0; boot < wanted.how.boots; ++boot) {
			const unsigned cpus = boot % 2 + 1;
			run_boot(to, wanted.how, cpus, boot);
			guest_pair two{cpus};
			measured(two, [&] { run_pair(two, to, wanted.how, cpus, boot); });
		}
		return 0;
	} catch (const std::exception &e) {
		std::cerr << "bench-guests: " << e.what() << '\n';
		return 1;
	}
}
