// SPDX-License-Identifier: MIT
// Benchmarks between two threads on the host; see README.md.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "pinning.hpp"
#include "plan.hpp"

namespace {

using namespace kvmchan::bench;

void run_all(sample_file &out, const plan &how)
{
	run_throughput(out, how);
	run_round_trips(out, how);
	run_many_channels(out, how);
	run_calls(out, how);
	run_opening(out, how);
	run_idle(out, how);
	run_server(out, how);
}

} // namespace

int main(int argc, char **argv)
{
	CLI::App app{"Measures channels on this host beside what else there is"};
	std::string output = "-", only;
	bool quick = false, full = false;

	app.add_flag("--quick", quick, "a minute or two: the default");
	app.add_flag("--full", full, "longer, and more rounds")->excludes("--quick");
	app.add_option("--output", output, "file for the samples, one JSON object a line");
	app.add_option("--only", only, "only benchmarks whose \"bench/path\" matches this expression");
	CLI11_PARSE(app, argc, argv);
	spdlog::set_level(spdlog::level::warn);
	try {
		usable_cpus();
		sample_file out{output, only, !full};

		run_all(out, full ? plan::full() : plan::quick());
	} catch (const std::exception &error) {
		std::fprintf(stderr, "bench-host: %s\n", error.what());
		return 1;
	}
	return 0;
}
