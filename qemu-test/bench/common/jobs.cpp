// SPDX-License-Identifier: MIT
#include "jobs.hpp"

#include "buffer.hpp"
#include "pattern.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace bench {

namespace {

using clock = std::chrono::steady_clock;

/* A reader of a stream takes as much as comes. */
constexpr std::size_t appetite = 64 * 1024;
constexpr std::uint64_t seed = 42;

std::string source(const job &what, end &to, control &words)
{
	const buffer message{what.size * to.batch(), what.offset};
	to.prepare(message.bytes());
	std::uint64_t total = 0;
	while (!words.stop.load(std::memory_order_relaxed)) {
		to.write(message.bytes(), what.size);
		total += message.bytes().size();
	}
	words.sent.store(total + message.bytes().size());
	to.write(message.bytes(), what.size);
	return {};
}

std::string sink(const job &what, end &from, control &words)
{
	const buffer room{std::max(what.size, appetite), what.offset};
	std::uint64_t total = 0;
	do {
		total += from.read(room.bytes());
		words.received.store(total, std::memory_order_release);
	} while (total != words.sent.load());
	return {};
}

/* Nobody is at the other end: how fast can it be called? */
std::string fill(const job &what, end &to, control &words)
{
	const buffer message{what.size, what.offset};
	for (std::uint64_t total = 0; !words.stop.load(std::memory_order_relaxed);) {
		to.write(message.bytes(), what.size);
		words.received.store(total += what.size, std::memory_order_release);
	}
	return {};
}

std::string drain(const job &what, end &from, control &words)
{
	const buffer room{what.size, what.offset};
	for (std::uint64_t total = 0; !words.stop.load(std::memory_order_relaxed);)
		words.received.store(total += from.read(room.bytes()), std::memory_order_release);
	return {};
}

std::string echo(const job &what, end &with, control & /*words*/)
{
	const buffer message{what.size, what.offset};
	for (std::size_t round = 0; round < what.count; ++round) {
		read_all(with, message.bytes());
		with.write(message.bytes(), what.size);
	}
	return {};
}

std::string ping(const job &what, end &with, control & /*words*/)
{
	const buffer message{what.size, what.offset};
	rounds found;
	found.ns.reserve(what.count);
	while (found.ns.size() < what.count) {
		const auto begin = clock::now();
		with.write(message.bytes(), what.size);
		read_all(with, message.bytes());
		found.ns.push_back(static_cast<std::uint64_t>(std::chrono::nanoseconds{clock::now() - begin}.count()));
	}
	std::ranges::sort(found.ns);
	return found.line();
}

std::string check_source(const job &what, end &to, control & /*words*/)
{
	const harness::pattern pattern{seed};
	const buffer message{what.size * to.batch(), what.offset};
	for (std::uint64_t at = 0; at < what.count; at += message.bytes().size()) {
		pattern.fill(at, message.bytes());
		to.prepare(message.bytes());
		to.write(message.bytes(), what.size);
	}
	return {};
}

std::string check_sink(const job &what, end &from, control & /*words*/)
{
	const harness::pattern pattern{seed};
	const buffer room{std::max(what.size, appetite), what.offset};
	for (std::uint64_t at = 0; at < what.count;) {
		const auto n = from.read(room.bytes());
		if (const auto wrong = pattern.mismatch(at, room.bytes().first(n)))
			throw std::runtime_error{"wrong byte at " + std::to_string(*wrong)};
		at += n;
	}
	return {};
}

} // namespace

std::string job::line() const
{
	std::ostringstream out;
	out << op << ' ' << path << ' ' << where << ' ' << size << ' ' << count << ' ' << offset;
	return out.str();
}

job job::parse(const std::string &line)
{
	job out;
	std::istringstream in{line};
	if (!(in >> out.op >> out.path >> out.where >> out.size >> out.count >> out.offset))
		throw std::runtime_error{"no job: " + line};
	return out;
}

double rounds::at(double part) const
{
	if (ns.empty())
		return NAN;
	const auto index = std::min(ns.size() - 1, static_cast<std::size_t>(part * static_cast<double>(ns.size())));
	return static_cast<double>(ns[index]) / 1000;
}

std::string rounds::line() const
{
	std::ostringstream out;
	out << ns.size() << ' ' << at(0.5) << ' ' << at(0.99) << ' ' << at(0.999);
	return out.str();
}

quantiles quantiles::parse(const std::string &line)
{
	quantiles out;
	std::istringstream in{line};
	if (!(in >> out.count >> out.p50 >> out.p99 >> out.p999))
		throw std::runtime_error{"no round trips: " + line};
	return out;
}

std::string perform(const job &what, end &with, control &words)
{
	static constexpr struct {
		std::string_view op;
		std::string (*run)(const job &, end &, control &);
	} all[] = {
		{"source", source}, {"sink", sink},   {"echo", echo},
		{"ping", ping},     {"fill", fill},   {"drain", drain},
		{"check-source", check_source},       {"check-sink", check_sink},
	};
	for (const auto &each : all) {
		if (each.op == what.op)
			return each.run(what, with, words);
	}
	throw std::runtime_error{"no such operation: " + what.op};
}

} // namespace bench
