// SPDX-License-Identifier: MIT
#include "targets.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace kvmchan::bench {
namespace {

std::optional<figure> scaled(std::optional<figure> value, double by)
{
	if (value)
		*value = {value->median * by, value->least * by, value->most * by, value->count};
	return value;
}

std::optional<figure> difference(const std::optional<figure> &a, const std::optional<figure> &b)
{
	if (!a || !b)
		return std::nullopt;
	return figure{a->median - b->median, a->least - b->most, a->most - b->least, std::min(a->count, b->count)};
}

/* Where a path has nothing to spin with, its samples do not say that it does. */
selection usable(const sample_set &samples, const selection &wanted)
{
	selection any = wanted;

	if (wanted.spin != "on" || samples.value(wanted))
		return wanted;
	any.spin = "-";
	return any;
}

std::optional<figure> evaluate(const sample_set &samples, const measure &way)
{
	const selection of = usable(samples, way.of);

	if (way.minus)
		return difference(samples.value(of), samples.value(*way.minus));
	return scaled(way.by ? samples.ratio(of, usable(samples, *way.by)) : samples.value(of), way.scale);
}

std::string describe(const measure &way, const figure &found)
{
	const std::string times = way.scale == 1 ? "" : ", times " + number_text(way.scale);

	if (!way.by)
		return "median of " + std::to_string(found.count) + ": " + way.of.name() + times +
		       (way.minus ? ", less that of " + std::to_string(*way.minus->channels) + " channels" : "");
	const bool same = way.of.name() == way.by->name();
	const std::string by = same ? "its " + way.by->figure : way.by->name();

	return "median of " + std::to_string(found.count) + " ratios: " + (same ? way.of.figure + " of " : "") +
	       way.of.name() + " / " + by + times;
}

std::string missing(const sample_set &samples, const measure &way)
{
	std::string text;

	for (const selection *one : {&way.of, way.by ? &*way.by : nullptr})
		if (one && !samples.value(usable(samples, *one)))
			text += (text.empty() ? "missing: " : "; ") + one->name();
	return text;
}

verdict by_samples(const sample_set &samples, const target &about)
{
	const std::string note = about.note.empty() ? "" : " (" + about.note + ")";

	for (const measure &way : about.ways) {
		const auto found = evaluate(samples, way);

		if (!found)
			continue;
		const bool met = about.which == limit::at_most ? found->median <= about.bound : found->median >= about.bound;

		return {&about, found, met, describe(way, *found) + note};
	}
	return {&about, std::nullopt, std::nullopt, missing(samples, about.ways.front()) + note};
}

verdict judge(const sample_set &samples, const target &about)
{
	verdict made = by_samples(samples, about);

	if (about.reach)
		made.reach = evaluate(samples, *about.reach);
	if (made.reach)
		made.reach_how = describe(*about.reach, *made.reach);
	return made;
}

} // namespace

std::vector<verdict> judge(const sample_set &samples)
{
	std::vector<verdict> all;

	for (const target &one : all_targets())
		all.push_back(judge(samples, one));
	return all;
}

std::string number_text(double value)
{
	char text[32];
	const double size = std::abs(value);

	if (size >= 100)
		std::snprintf(text, sizeof(text), "%.0f", value);
	else
		std::snprintf(text, sizeof(text), "%.3g", value);
	return text;
}

std::string bound_text(const target &about)
{
	return (about.which == limit::at_most ? "≤ " : "≥ ") + number_text(about.bound);
}

std::string met_text(const verdict &one)
{
	return !one.met ? "not measured" : *one.met ? "yes" : "no";
}

json to_json(const verdict &one)
{
	json made{{"id", one.about->id},
	          {"what", one.about->what},
	          {"value", nullptr},
	          {"bound", bound_text(*one.about)},
	          {"met", nullptr},
	          {"how", one.how},
	          {"spread", nullptr}};

	if (one.value) {
		made["value"] = one.value->median;
		made["spread"] = {one.value->least, one.value->most};
	}
	if (one.met)
		made["met"] = *one.met;
	if (one.reach)
		made["limit"] = {{"value", one.reach->median}, {"how", one.reach_how}};
	return made;
}

} // namespace kvmchan::bench
