// SPDX-License-Identifier: MIT
// Reads the samples of benchmarks and says what they come to.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include <CLI/CLI.hpp>

#include "plots.hpp"
#include "samples.hpp"
#include "tables.hpp"
#include "targets.hpp"

namespace {

using namespace kvmchan::bench;

template <typename Write>
void write_file(const std::string &name, Write write)
{
	if (name.empty())
		return;
	std::ofstream out{name, std::ios::trunc};

	write(out);
	out.flush();
	if (!out)
		throw std::runtime_error{name + ": cannot be written"};
}

json everything(const sample_set &samples, const std::vector<verdict> &verdicts)
{
	json targets = json::array();

	for (const verdict &one : verdicts)
		targets.push_back(to_json(one));
	return {{"meta", samples.meta()}, {"targets", targets}, {"skipped", samples.skipped()}, {"samples", samples.samples()}};
}

} // namespace

int main(int argc, char **argv)
{
	CLI::App app{"What samples of benchmarks say about the targets"};
	std::vector<std::string> files;
	std::string json_file, markdown, plots;

	app.add_option("--json", json_file, "file for targets and all samples");
	app.add_option("--markdown", markdown, "file for tables");
	app.add_option("--plots", plots, "directory for plots");
	app.add_option("FILE", files, "samples, one JSON object a line")->required();
	CLI11_PARSE(app, argc, argv);
	try {
		sample_set samples;

		for (const std::string &file : files)
			samples.read(file);
		const std::vector<verdict> verdicts = judge(samples);

		write_file(json_file, [&](std::ostream &to) { to << everything(samples, verdicts).dump(1) << '\n'; });
		write_file(markdown, [&](std::ostream &to) { write_markdown(to, samples, verdicts); });
		if (!plots.empty())
			write_plots(plots, samples);
		write_verdicts(std::cout, verdicts);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "bench-report: %s\n", error.what());
		return 1;
	}
	return 0;
}
