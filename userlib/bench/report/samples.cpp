// SPDX-License-Identifier: MIT
#include "samples.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace kvmchan::bench {
namespace {

/* A channel that is there to show what a larger ring brings. */
const std::string other_ring = "stream4";

/* What was counted over a time is shown for a second. */
double figure_of(const json &sample, const std::string &figure)
{
	return sample.at(figure).get<double>() / sample.value("seconds", 1.0);
}

/* A time is good when it is short; all else when it is large. */
bool small_is_good(const selection &which)
{
	return which.bench == "round_trip" || which.bench == "open";
}

void check(const json &sample)
{
	for (const char *field : {"bench", "path", "dir", "unit"})
		sample.at(field).get_ref<const std::string &>();
	for (const char *field : {"size", "channels", "value"})
		sample.at(field).get<double>();
}

} // namespace

bool selection::takes(const json &sample) const
{
	const auto text = [&](const char *field, const std::string &wanted) {
		return wanted.empty() || sample.value(field, std::string{}) == wanted;
	};

	const bool side = dir != "guest" ? text("dir", dir) : !text("dir", "h2h") && !text("dir", "g2g");

	return text("bench", bench) && side && text("spin", spin) && text("unit", unit) &&
	       (what == "*" || sample.value("what", std::string{}) == what) &&
	       sample.value("where", std::string{}) != other_ring && std::ranges::find(paths, sample.at("path").get<std::string>()) != paths.end() &&
	       (!size || sample.at("size").get<std::uint64_t>() == *size) &&
	       (!channels || sample.at("channels").get<unsigned>() == *channels) &&
	       (!pinned || sample.value("pinned", false) == *pinned) && sample.contains(figure);
}

std::string selection::name() const
{
	std::string text = bench + " of";

	for (const std::string &path : paths)
		text += " " + path;
	if (!dir.empty())
		text += ", " + dir;
	if (size)
		text += ", " + std::to_string(*size) + " bytes";
	if (channels && *channels > 1)
		text += ", " + std::to_string(*channels) + " channels";
	if (!spin.empty() && spin != "-")
		text += ", spin " + spin;
	return text;
}

figure summary(std::vector<double> values)
{
	std::ranges::sort(values);
	const std::size_t half = values.size() / 2;
	const double median = values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;

	return {median, values.front(), values.back(), values.size()};
}

void sample_set::read(const std::filesystem::path &file)
{
	std::ifstream in{file};
	unsigned number = 0;

	if (!in)
		throw std::runtime_error{file.string() + ": cannot be read"};
	for (std::string line; std::getline(in, line);) {
		++number;
		try {
			json object = json::parse(line);

			if (object.contains("meta")) {
				meta_.push_back(object.at("meta"));
			} else if (object.contains("skipped")) {
				skipped_.push_back(std::move(object));
			} else {
				check(object);
				if (object.contains("of"))
					object["what"] = object["of"];
				samples_.push_back(std::move(object));
			}
		} catch (const json::exception &error) {
			throw std::runtime_error{file.string() + ":" + std::to_string(number) + ": " + error.what()};
		}
	}
}

std::optional<figure> sample_set::value(const selection &which) const
{
	std::vector<double> values;

	for (const json &sample : samples_)
		if (which.takes(sample))
			values.push_back(figure_of(sample, which.figure));
	return values.empty() ? std::nullopt : std::optional{summary(std::move(values))};
}

std::map<sample_set::side_by_side, double> sample_set::rounds(const selection &which) const
{
	std::map<std::pair<side_by_side, std::string>, std::vector<double>> values;
	std::map<side_by_side, double> found;
	const bool small = small_is_good(which);

	for (const json &sample : samples_)
		if (which.takes(sample))
			values[{{sample.value("boot", 0), sample.value("cpus", 0), sample.value("pinned", false),
			         sample.value("round", 0)},
			        sample.at("path").get<std::string>()}]
				.push_back(figure_of(sample, which.figure));
	for (const auto &[key, list] : values) {
		const double median = summary(list).median;
		const auto [at, fresh] = found.emplace(key.first, median);

		if (!fresh)
			at->second = small ? std::min(at->second, median) : std::max(at->second, median);
	}
	return found;
}

std::optional<figure> sample_set::ratio(const selection &a, const selection &b) const
{
	const auto above = rounds(a), below = rounds(b);
	std::vector<double> ratios;

	for (const auto &[key, value] : above)
		if (const auto at = below.find(key); at != below.end() && at->second != 0)
			ratios.push_back(value / at->second);
	if (!ratios.empty())
		return summary(std::move(ratios));
	/* Not in the same rounds: then of all that there is. */
	const auto whole = best(a), part = best(b);

	if (!whole || !part || part->median == 0)
		return std::nullopt;
	return figure{whole->median / part->median, whole->least / part->most, whole->most / part->least,
	              std::min(whole->count, part->count)};
}

std::optional<figure> sample_set::best(const selection &which) const
{
	std::optional<figure> found;

	for (const std::string &path : which.paths) {
		selection alone = which;

		alone.paths = {path};
		const auto one = value(alone);

		if (one && (!found || (one->median < found->median) == small_is_good(which)))
			found = one;
	}
	return found;
}

} // namespace kvmchan::bench
