// SPDX-License-Identifier: MIT
#include "lab.hpp"

#include "time_limit.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <thread>

#include <immintrin.h>

namespace bench {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/* Only bounds how long something broken hangs. */
constexpr harness::milliseconds limit = 30s;
constexpr auto warm_up = 50ms;

double seconds(steady::duration time)
{
	return std::chrono::duration<double>{time}.count();
}

job with_op(job what, const char *op)
{
	what.op = op;
	return what;
}

} // namespace

const char *name_of(way direction)
{
	return direction == way::h2g ? "h2g" : "g2h";
}

void lab::hangs(const job &what)
{
	std::cerr << "bench-guests: does not end: " << what.line() << '\n' << machine_.vm().tail(20) << std::endl;
	machine_.abandon();
	std::_Exit(1);
}

void lab::wait_for(const job &what, const std::function<bool()> &condition)
{
	const auto deadline = harness::deadline_after(limit);
	while (!condition()) {
		if (steady::now() > deadline)
			hangs(what);
		std::this_thread::sleep_for(1ms);
	}
}

/* The thread is left alone if it hangs, so it is none that is joined. */
std::future<std::string> lab::start(const worker &work)
{
	std::packaged_task<std::string()> task{work};
	auto result = task.get_future();
	std::thread{std::move(task)}.detach();
	return result;
}

std::string lab::finish(const job &what, std::future<std::string> &work)
{
	if (work.wait_for(harness::stretched(limit)) != std::future_status::ready)
		hangs(what);
	return work.get();
}

double lab::rate(const job &what, std::chrono::milliseconds time)
{
	auto &words = machine_.words();
	wait_for(what, [&] { return words.received.load() > 0; });
	std::this_thread::sleep_for(warm_up);
	const auto from = words.received.load();
	const auto begin = steady::now();
	std::this_thread::sleep_for(time);
	const auto to = words.received.load();
	const auto end = steady::now();
	words.stop.store(1);
	return static_cast<double>(to - from) / 1e6 / seconds(end - begin);
}

double lab::throughput(const job &what, way direction, std::chrono::milliseconds time)
{
	const bool down = direction == way::h2g;
	auto &words = machine_.words();
	words.clear();
	machine_.agent().start(with_op(what, down ? "sink" : "source"));
	auto host = start([&, mine = with_op(what, down ? "source" : "sink")] {
		return perform(mine, host_.get(mine), words);
	});
	const auto found = rate(what, time);
	finish(what, host);
	machine_.agent().finish();
	bytes_ = words.received.load();
	return found;
}

double lab::many(const job &what, way direction, std::chrono::milliseconds time)
{
	const bool down = direction == way::h2g;
	auto &words = machine_.words();
	words.clear();
	machine_.agent().start(with_op(what, down ? "many-sink" : "many-source"));
	auto host = start([&] {
		auto &channels = host_.many();
		channels.resize(what.count);
		if (down)
			channels.source(what.size, what.offset, words);
		else
			channels.sink(what.size, what.offset, words);
		return std::string{};
	});
	const auto found = rate(what, time);
	finish(what, host);
	machine_.agent().finish();
	return found;
}

double lab::alone(const job &what, way direction, std::chrono::milliseconds time)
{
	machine_.words().clear();
	machine_.agent().start(with_op(what, direction == way::h2g ? "drain" : "fill"));
	const auto found = rate(what, time);
	machine_.agent().finish();
	return found;
}

quantiles lab::round_trip(job what)
{
	machine_.agent().start(with_op(what, "echo"));
	auto host = start([&, mine = with_op(what, "ping")] { return perform(mine, host_.get(mine), machine_.words()); });
	const auto found = quantiles::parse(finish(what, host));
	machine_.agent().finish();
	return found;
}

void lab::verify(job what, way direction)
{
	constexpr std::size_t amount = 3 << 20;
	constexpr std::size_t messages = 16 * 1024;
	const bool down = direction == way::h2g;
	// A whole number of batches of every transport.
	const auto unit = what.size * 16;
	what.count = std::min(amount / unit + 1, messages / 16) * unit;
	machine_.agent().start(with_op(what, down ? "check-sink" : "check-source"));
	auto host = start([&, mine = with_op(what, down ? "check-source" : "check-sink")] {
		return perform(mine, host_.get(mine), machine_.words());
	});
	finish(what, host);
	machine_.agent().finish();
}

double lab::opening(const std::string &slot)
{
	const job what{.op = "open-write", .path = "kvmchan", .where = slot};
	auto &words = machine_.words();
	words.clear();
	machine_.agent().start(what);
	wait_for(what, [&] { return words.ready.load() != 0; });
	double found = 0;
	{
		auto host = start([&] {
			std::byte first;
			const auto begin = steady::now();
			words.go.store(1);
			kvmchan::channel mine{machine_.region(), slot};
			const auto n = mine.read_some({&first, 1});
			found = seconds(steady::now() - begin) * 1e6;
			if (n != 1)
				throw std::runtime_error{"no first byte"};
			return std::string{};
		});
		finish(what, host);
	}
	words.stop.store(1);
	machine_.agent().finish();
	return found;
}

double lab::ready(std::size_t channels)
{
	const job what{.op = "ready-drain", .path = "kvmchan", .where = "many", .count = channels};
	auto &words = machine_.words();
	words.clear();
	host_.many().resize(channels);
	machine_.agent().start(what);
	for (auto &channel : host_.many().channels())
		channel.write_all(std::as_bytes(std::span{"x", 1}));
	wait_for(what, [&] { return words.ready.load() != 0; });
	const auto begin = steady::now();
	words.go.store(1);
	const auto deadline = harness::deadline_after(limit);
	while (!words.done.load()) {
		_mm_pause();
		if (steady::now() > deadline)
			hangs(what);
	}
	const auto time = seconds(steady::now() - begin);
	machine_.agent().finish();
	return time * 1e6 / static_cast<double>(channels);
}

} // namespace bench
