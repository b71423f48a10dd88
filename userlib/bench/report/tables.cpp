// SPDX-License-Identifier: MIT
#include "tables.hpp"

#include <iomanip>
#include <ostream>
#include <set>

namespace kvmchan::bench {
namespace {

void write_targets(std::ostream &to, const std::vector<verdict> &verdicts)
{
	to << "| target | what | bound | measured | spread | met | a bare limit |\n|---|---|---|---|---|---|---|\n";
	for (const verdict &one : verdicts) {
		to << "| " << one.about->id << " | " << one.about->what << " | " << bound_text(*one.about) << " | ";
		if (one.value)
			to << number_text(one.value->median) << " | " << number_text(one.value->least) << " to "
			   << number_text(one.value->most);
		else
			to << "– | –";
		to << " | " << met_text(one) << " | " << (one.reach ? number_text(one.reach->median) : "–") << " |\n";
	}
}

void write_throughput(std::ostream &to, const sample_set &samples, const std::string &dir)
{
	const auto sizes = values_of(samples, {"throughput", {}, dir}, "size");

	if (sizes.empty())
		return;
	to << "\nThroughput, " << direction_text(dir) << ", MB/s:\n\n| |";
	for (const json &size : sizes)
		to << ' ' << size_text(size) << " |";
	to << "\n|---|" << [&] {
		std::string rule;

		for (std::size_t i = 0; i < sizes.size(); ++i)
			rule += "---|";
		return rule;
	}() << '\n';
	for (row &line : rows(samples, "throughput", dir)) {
		to << "| " << line.name << " |";
		for (const json &size : sizes) {
			line.which.size = size.get<std::uint64_t>();
			const auto found = samples.value(line.which);

			to << ' ' << (found ? number_text(found->median) : "–") << " |";
		}
		to << '\n';
	}
}

void write_round_trips(std::ostream &to, const sample_set &samples, const std::string &dir)
{
	const auto lines = rows(samples, "round_trip", dir);

	if (lines.empty())
		return;
	to << "\nRound trip of 64 bytes, " << direction_text(dir) << ", µs:\n\n"
	   << "| | median | 99 % | 99.9 % |\n|---|---|---|---|\n";
	for (row line : lines) {
		/* A doorbell has no bytes. */
		if (line.which.paths.front() != "doorbell")
			line.which.size = 64;
		to << "| " << line.name << " |";
		for (const char *figure : {"value", "p99", "p999"}) {
			line.which.figure = figure;
			const auto found = samples.value(line.which);

			to << ' ' << (found ? number_text(found->median) : "–") << " |";
		}
		to << '\n';
	}
}

/* What one of many channels costs in the guest. */
void write_crowd(std::ostream &to, const sample_set &samples)
{
	const auto counts = values_of(samples, {"memory", {}, "-"}, "channels");

	if (counts.empty())
		return;
	to << "\nOne of many channels in a guest:\n\n"
	   << "| channels | KiB of the kernel, open | to open its node, µs | to hear by epoll that it is ready and read, µs |\n"
	   << "|---|---|---|---|\n";
	for (const json &count : counts) {
		const auto of = [&](const char *bench, const char *what) {
			selection which{bench, {"kvmchan"}, "-", {}, count.get<unsigned>()};

			which.what = what;
			return samples.value(which);
		};
		const auto memory = of("memory", "kernel"), open = of("open", "node"), ready = of("epoll", "");
		const auto text = [](const std::optional<figure> &found, double unit) {
			return found ? number_text(found->median / unit) : "–";
		};

		to << "| " << count << " | " << text(memory, 1024) << " | " << text(open, 1) << " | " << text(ready, 1) << " |\n";
	}
}

} // namespace

std::vector<row> rows(const sample_set &samples, const std::string &bench, const std::string &dir)
{
	std::vector<row> found;
	std::set<std::string> seen;

	for (const json &sample : samples.samples()) {
		if (sample.at("bench") != bench || sample.at("dir") != dir || sample.at("channels") != 1 ||
		    sample.contains("what"))
			continue;
		selection which{bench, {sample.at("path")}, dir, {}, 1};

		which.spin = sample.value("spin", "");
		which.pinned = sample.value("pinned", false);
		const bool spins = !which.spin.empty() && which.spin != "-";
		std::string name = which.paths.front();

		if (name.starts_with("kvmchan") && spins && (bench != "throughput" || which.spin != "on"))
			name += which.spin.ends_with("off") ? ", sleeping" : ", busy polling";
		if (which.spin.starts_with("hogged"))
			name += ", a core hogged";
		else if (dir == "h2h")
			name += *which.pinned ? "" : ", unpinned";
		if (seen.insert(name).second)
			found.push_back({which, name});
	}
	return found;
}

std::string size_text(std::uint64_t size)
{
	if (size >= 1 << 20)
		return std::to_string(size >> 20) + " MiB";
	if (size >= 1024)
		return std::to_string(size >> 10) + " KiB";
	return std::to_string(size) + " B";
}

std::string direction_text(const std::string &dir)
{
	if (dir == "h2g")
		return "host to guest";
	if (dir == "g2h")
		return "guest to host";
	if (dir == "g2g")
		return "guest to guest";
	if (dir == "h2h")
		return "on the host";
	return dir == "both" ? "guest and host" : "one end alone";
}

std::vector<json> values_of(const sample_set &samples, const selection &which, const char *field)
{
	std::set<json> found;

	for (const json &sample : samples.samples())
		if (sample.at("bench") == which.bench && (which.dir.empty() || sample.at("dir") == which.dir))
			found.insert(sample.value(field, json{}));
	return {found.begin(), found.end()};
}

void write_markdown(std::ostream &to, const sample_set &samples, const std::vector<verdict> &verdicts)
{
	write_targets(to, verdicts);
	for (const json &dir : values_of(samples, {"throughput", {}}, "dir"))
		write_throughput(to, samples, dir);
	for (const json &dir : values_of(samples, {"round_trip", {}}, "dir"))
		write_round_trips(to, samples, dir);
	write_crowd(to, samples);
}

void write_verdicts(std::ostream &to, const std::vector<verdict> &verdicts)
{
	unsigned met = 0, unmet = 0;

	for (const verdict &one : verdicts) {
		const std::string value = one.value ? number_text(one.value->median) : "-";

		to << std::left << std::setw(5) << one.about->id << ' ' << std::right << std::setw(9) << value << "   "
		   << bound_text(*one.about) << std::string(9 - number_text(one.about->bound).size(), ' ') << std::left
		   << std::setw(14) << met_text(one) << one.about->what;
		if (one.reach)
			to << " (a bare limit: " << number_text(one.reach->median) << ')';
		to << '\n';
		met += one.met == true;
		unmet += one.met == false;
	}
	to << met << " met, " << unmet << " not met, " << verdicts.size() - met - unmet << " not measured\n";
}

} // namespace kvmchan::bench
