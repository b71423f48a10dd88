// SPDX-License-Identifier: MIT
#include "runner.hpp"

#include "hog.hpp"
#include "usage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <thread>

namespace bench {

namespace {

using nlohmann::json;

bool has_counters(const std::string &path)
{
	return path == "kvmchan" || path == "kvmchan-packet" || path == "kvmchan-writev";
}

/* Another place in the page in each round. */
std::size_t offset_of(unsigned round)
{
	return 64 * (1 + round * 13 % 61);
}

} // namespace

runner::runner(machine &at, samples &to, const effort &how, unsigned cpus, unsigned boot)
    : lab_{at}, samples_{to}, effort_{how}, cpus_{cpus}, boot_{boot}
{
}

std::string runner::step::name() const
{
	const bool one_way = line.what != measure::turns;
	return fmt::format("{} {} {} {} {} {}", line.path, what.where, one_way ? name_of(direction) : "both", what.size,
	                   what.count ? what.count : 1, name_of(line.spinning));
}

bool runner::skipped(const std::string &path)
{
	return std::ranges::any_of(lab_.at().skipped(), [&](const auto &each) { return each.first == path; });
}

std::vector<runner::step> runner::steps()
{
	std::vector<step> out;
	for (const auto &line : plan()) {
		if (skipped(line.path))
			continue;
		const auto where = line.where ? std::string{line.where} : lab_.host().where(line.path);
		const bool turns = line.what == measure::turns;
		for (const auto size : effort_.full ? line.full : line.quick) {
			for (const auto channels : line.channels) {
				for (const auto direction : {way::h2g, way::g2h}) {
					if (direction == way::h2g ? !line.down : !line.up || turns)
						continue;
					step each{line, {.path = line.path, .where = where, .size = size}, direction};
					if (line.what == measure::many)
						each.what.count = channels;
					if (wanted(each.name()))
						out.push_back(std::move(each));
				}
			}
		}
	}
	return out;
}

json runner::sample_of(const char *bench, const std::string &path, unsigned round) const
{
	return {{"bench", bench}, {"path", path},   {"dir", "-"},    {"size", 0},      {"channels", 1},
	        {"cpus", cpus_},  {"spin", "-"}, {"boot", boot_}, {"round", round}};
}

void runner::doorbells(json sample, std::uint64_t guest, std::uint64_t host)
{
	const auto megabytes = static_cast<double>(lab_.bytes()) / 1e6;
	sample["bench"] = "doorbells";
	sample["unit"] = "1/MB";
	sample["guest"] = static_cast<double>(guest) / megabytes;
	sample["host"] = static_cast<double>(host) / megabytes;
	sample["value"] = static_cast<double>(guest + host) / megabytes;
	samples_.write(sample);
}

void runner::stream_step(const step &each, json sample)
{
	const bool counted = each.line.what == measure::stream && has_counters(each.line.path);
	std::uint64_t guest = 0;
	std::uint64_t host = 0;
	sample["bench"] = "throughput";
	sample["unit"] = "MB/s";
	if (counted) {
		guest = lab_.at().counter("doorbells_sent", each.what.where);
		host = lab_.host().channel(each.what.where)->counters().doorbells_sent;
	}
	switch (each.line.what) {
	case measure::many: sample["value"] = lab_.many(each.what, each.direction, effort_.time); break;
	case measure::alone: sample["value"] = lab_.alone(each.what, each.direction, effort_.time); break;
	default: sample["value"] = lab_.throughput(each.what, each.direction, effort_.time);
	}
	samples_.write(sample);
	if (counted)
		doorbells(sample, lab_.at().counter("doorbells_sent", each.what.where) - guest,
		          lab_.host().channel(each.what.where)->counters().doorbells_sent - host);
	if (each.line.what == measure::alone && each.what.size == 64) {
		sample["bench"] = "call_rate";
		sample["unit"] = "1/s";
		sample["value"] = sample["value"].get<double>() * 1e6 / static_cast<double>(each.what.size);
		samples_.write(sample);
	}
}

void runner::turns_step(const step &each, json sample)
{
	auto what = each.what;
	what.count = effort_.round_trips;
	const auto found = lab_.round_trip(what);
	sample["bench"] = "round_trip";
	sample["dir"] = "both";
	sample["unit"] = "us";
	sample["value"] = found.p50;
	sample["p99"] = found.p99;
	sample["p999"] = found.p999;
	sample["count"] = found.count;
	samples_.write(sample);
}

void runner::measure_step(const step &each, unsigned round)
{
	const auto spinning = each.line.spinning;
	const bool off = spinning == spin::off || spinning == spin::hogged_off;
	std::optional<hog> burner;
	auto sample = sample_of("", each.line.path, round);
	sample["dir"] = name_of(each.direction);
	sample["size"] = each.what.size;
	sample["channels"] = std::max<std::size_t>(each.what.count, 1);
	sample["spin"] = name_of(spinning);
	if (each.line.where)
		sample["where"] = each.line.where;
	if (off)
		lab_.at().set_parameter("busy_poll_us", "0");
	if (spinning == spin::hogged || spinning == spin::hogged_off)
		burner.emplace();
	auto here = each;
	here.what.offset = offset_of(round);
	if (each.line.what == measure::turns)
		turns_step(here, sample);
	else
		stream_step(here, sample);
	if (off)
		lab_.at().set_parameter("busy_poll_us", "50");
}

void runner::extras(unsigned round)
{
	if (wanted("open")) {
		auto sample = sample_of("open", "kvmchan", round);
		sample["unit"] = "us";
		sample["value"] = lab_.opening("opened");
		samples_.write(sample);
	}
	for (const std::size_t channels : {std::size_t{1}, machine::many}) {
		if (!wanted("epoll"))
			continue;
		auto sample = sample_of("epoll", "kvmchan", round);
		sample["channels"] = channels;
		sample["unit"] = "us";
		sample["value"] = lab_.ready(channels);
		samples_.write(sample);
	}
}

/* What both sides do while nobody does anything. */
void runner::idle(std::size_t channels)
{
	constexpr std::chrono::seconds rest{5};
	auto &at = lab_.at();
	lab_.host().many().resize(channels);
	at.agent().run({.op = "hold", .path = "kvmchan", .where = "many", .count = channels});
	const auto bells = [&] {
		std::uint64_t sum = at.counter("doorbells_sent") + at.counter("interrupts") + at.counter("empty_interrupts");
		for (auto &channel : lab_.host().many().channels()) {
			const auto counters = channel.counters();
			sum += counters.doorbells_sent + counters.interrupts + counters.empty_interrupts;
		}
		return sum;
	};
	std::this_thread::sleep_for(std::chrono::milliseconds{300});
	const auto bells_before = bells();
	const auto qemu_before = cpu_seconds(at.vm().qemu_pid());
	const auto host_before = cpu_seconds();
	std::this_thread::sleep_for(rest);
	const auto host = cpu_seconds() - host_before;
	const auto qemu = cpu_seconds(at.vm().qemu_pid()) - qemu_before;
	const auto rung = bells() - bells_before;
	auto sample = sample_of("idle", "kvmchan", 0);
	sample["channels"] = channels;
	sample["seconds"] = rest.count();
	const auto write = [&](const char *of, const char *unit, auto value) {
		sample["of"] = of;
		sample["unit"] = unit;
		sample["value"] = value;
		samples_.write(sample);
	};
	write("qemu", "s", qemu);
	write("host", "s", host);
	write("doorbells", "1", rung);
}

void runner::run()
{
	for (const auto &[path, why] : lab_.at().skipped())
		samples_.skip(path, why);
	if (wanted("idle")) {
		idle(0);
		idle(machine::many);
	}
	const auto all = steps();
	for (const auto &each : all) {
		if (each.line.what == measure::stream)
			lab_.verify(each.what, each.direction);
	}
	for (unsigned round = 0; round < effort_.rounds; ++round) {
		for (const auto &each : all)
			measure_step(each, round);
		extras(round);
		std::cerr << "bench-guests: boot " << boot_ << ", round " << round + 1 << " of " << effort_.rounds << std::endl;
	}
}

} // namespace bench
