// SPDX-License-Identifier: MIT
#include "runner.hpp"

#include "crowd.hpp"
#include "hog.hpp"
#include "spin.h"
#include "usage.hpp"

#include "error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

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

const char *name_of(way direction)
{
	return direction == way::h2g ? "h2g" : "g2h";
}

} // namespace

runner::runner(machine &at, samples &to, effort how, unsigned cpus, unsigned boot)
    : at_{at}, lab_{at.words()}, ends_{at}, host_{ends_, at.words()}, samples_{to}, effort_{std::move(how)}, cpus_{cpus}, boot_{boot}
{
}

std::string runner::step::name() const
{
	const bool one_way = line.what != measure::turns;
	return fmt::format("{} {} {} {} {} {}", line.path, what.where, one_way ? name_of(direction) : "both", what.size,
	                   what.count ? what.count : 1, name_of(line.spinning));
}

party &runner::sender(way direction)
{
	return direction == way::h2g ? static_cast<party &>(host_) : at_.agent();
}

party &runner::receiver(way direction)
{
	return direction == way::g2h ? static_cast<party &>(host_) : at_.agent();
}

bool runner::skipped(const std::string &path)
{
	return std::ranges::any_of(at_.skipped(), [&](const auto &each) { return each.first == path; });
}

std::vector<runner::step> runner::steps()
{
	std::vector<step> out;
	for (const auto &line : plan()) {
		if (skipped(line.path))
			continue;
		const auto where = line.where ? std::string{line.where} : ends_.where(line.path);
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

runner::rings runner::rung(const std::string &slot)
{
	return {at_.counter("doorbells_sent", slot), ends_.channel(slot)->counters().doorbells_sent};
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
	const rings before = counted ? rung(each.what.where) : rings{};
	sample["bench"] = "throughput";
	sample["unit"] = "MB/s";
	switch (each.line.what) {
	case measure::many:
		sample["value"] = lab_.many(each.what, sender(each.direction), receiver(each.direction), effort_.time);
		break;
	case measure::alone:
		sample["value"] = lab_.alone(each.what, each.direction == way::h2g ? "drain" : "fill", at_.agent(), effort_.time);
		break;
	default:
		sample["value"] = lab_.throughput(each.what, sender(each.direction), receiver(each.direction), effort_.time);
	}
	samples_.write(sample);
	if (counted) {
		const auto after = rung(each.what.where);
		doorbells(sample, after.guest - before.guest, after.host - before.host);
	}
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
	const rings before = has_counters(what.path) ? rung(what.where) : rings{};
	const auto found = lab_.round_trip(what, host_, at_.agent());
	if (has_counters(what.path)) {
		const auto after = rung(what.where);
		sample["guest"] = static_cast<double>(after.guest - before.guest) / static_cast<double>(what.count);
		sample["host"] = static_cast<double>(after.host - before.host) / static_cast<double>(what.count);
	}
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
		at_.set_parameter("busy_poll_us", "0");
	if (spinning == spin::hogged || spinning == spin::hogged_off)
		burner.emplace();
	auto here = each;
	here.what.offset = offset_of(round);
	if (each.line.what == measure::turns)
		turns_step(here, sample);
	else
		stream_step(here, sample);
	if (off)
		at_.set_parameter("busy_poll_us", std::to_string(KVMCHAN_SPIN_DEFAULT_US));
}

/* Both sides open at the same time; until the host has the guest's first byte. */
double runner::opening()
{
	const job what{.op = "open-write", .path = "kvmchan", .where = "opened"};
	return lab_.moment(what, at_.agent(), [&] {
		host_.start([&] {
			std::byte first;
			kvmchan::channel mine{at_.region(0), "opened"};
			if (mine.read_some({&first, 1}) != 1)
				throw std::runtime_error{"no first byte"};
			return std::string{};
		});
		host_.finish();
	});
}

void runner::crowd(std::size_t count)
{
	const auto found = measure_crowd(at_, lab_, ends_, count);
	const auto write = [&](const char *bench, const char *what, const char *unit, auto value) {
		auto sample = sample_of(bench, "kvmchan", 0);
		sample["channels"] = count;
		if (what)
			sample["what"] = what;
		sample["unit"] = unit;
		sample["value"] = value;
		samples_.write(sample);
	};
	write("memory", "kernel", "bytes", found.node_bytes + found.open_bytes);
	write("open", "node", "us", found.open_us);
	write("epoll", nullptr, "us", found.ready_us);
}

void runner::extras(unsigned round)
{
	if (wanted("open")) {
		auto sample = sample_of("open", "kvmchan", round);
		/* The first ones are mostly the emulator's translation of code that is new to it. */
		std::array<double, 16> took{};
		std::ranges::generate(took, [&] { return opening(); });
		std::ranges::sort(took);
		sample["unit"] = "us";
		sample["value"] = took[took.size() / 2];
		samples_.write(sample);
	}
	for (const std::size_t channels : {std::size_t{1}, machine::many}) {
		if (!wanted("epoll"))
			continue;
		auto sample = sample_of("epoll", "kvmchan", round);
		sample["channels"] = channels;
		sample["unit"] = "us";
		sample["value"] = ready_channel(at_, lab_, ends_, "many", channels);
		samples_.write(sample);
	}
}

/* What both sides do while nobody does anything. */
void runner::idle(std::size_t channels)
{
	constexpr std::chrono::seconds rest{5};
	ends_.group("many").resize(channels);
	at_.agent().run({.op = "hold", .path = "kvmchan", .where = "many", .count = channels});
	const auto bells = [&] {
		std::uint64_t sum = at_.counter("doorbells_sent") + at_.counter("interrupts") + at_.counter("empty_interrupts");
		for (auto &channel : ends_.group("many").channels()) {
			const auto counters = channel.counters();
			sum += counters.doorbells_sent + counters.interrupts + counters.empty_interrupts;
		}
		return sum;
	};
	std::this_thread::sleep_for(std::chrono::milliseconds{300});
	const auto bells_before = bells();
	const auto qemu_before = cpu_seconds(at_.vm().qemu_pid());
	const auto host_before = cpu_seconds();
	std::this_thread::sleep_for(rest);
	const auto host = cpu_seconds() - host_before;
	const auto qemu = cpu_seconds(at_.vm().qemu_pid()) - qemu_before;
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

/* Whatever goes wrong says with what. */
void runner::named(const step &each, const std::function<void()> &work)
{
	try {
		work();
	} catch (const harness::deadline_error &e) {
		throw harness::deadline_error{each.name() + ": " + e.what()};
	} catch (const std::exception &e) {
		throw harness::error{each.name() + ": " + e.what()};
	}
}

std::uint64_t runner::messages(const step &each) const
{
	return each.line.what == measure::turns ? effort_.round_trips : lab_.bytes() / each.what.size;
}

void runner::run_profiled(profile &to)
{
	/* So many that what comes before and after does not count. */
	effort_.round_trips = 100'000;
	effort_.time = std::chrono::seconds{1};
	for (const auto &each : steps()) {
		named(each, [&] {
			to.begin();
			measure_step(each, 0);
			to.end(each.name(), messages(each));
		});
	}
	if (wanted("open")) {
		constexpr unsigned times = 20;
		to.begin();
		for (unsigned i = 0; i < times; ++i)
			opening();
		to.end("open", times);
	}
}

void runner::run()
{
	for (const auto &[path, why] : at_.skipped())
		samples_.skip(path, why);
	if (wanted("idle")) {
		idle(0);
		idle(machine::many);
	}
	if (wanted("crowd")) {
		for (const std::size_t count : {machine::many, 4 * machine::many})
			crowd(count);
		// Over several devices, which there are then.
		if (effort_.full)
			crowd(1000);
	}
	const auto all = steps();
	for (const auto &each : all) {
		if (each.line.what == measure::stream)
			named(each, [&] { lab_.verify(each.what, sender(each.direction), receiver(each.direction)); });
	}
	for (unsigned round = 0; round < effort_.rounds; ++round) {
		for (const auto &each : all)
			named(each, [&] { measure_step(each, round); });
		extras(round);
		std::cerr << "bench-guests: boot " << boot_ << ", round " << round + 1 << " of " << effort_.rounds << std::endl;
	}
}

} // namespace bench
