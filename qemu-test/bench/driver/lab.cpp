// SPDX-License-Identifier: MIT
#include "lab.hpp"

#include "error.hpp"

#include <algorithm>
#include <thread>

#include <immintrin.h>

namespace bench {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

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

void lab::wait_for(const std::function<bool()> &condition)
{
	const auto deadline = harness::deadline_after(party::patience);
	while (!condition()) {
		if (steady::now() > deadline)
			throw harness::deadline_error{"nothing happens"};
		std::this_thread::sleep_for(1ms);
	}
}

double lab::rate(std::chrono::milliseconds time)
{
	wait_for([&] { return words_.received.load() > 0; });
	std::this_thread::sleep_for(warm_up);
	const auto from = words_.received.load();
	const auto begin = steady::now();
	std::this_thread::sleep_for(time);
	const auto to = words_.received.load();
	const auto end = steady::now();
	words_.stop.store(1);
	return static_cast<double>(to - from) / 1e6 / seconds(end - begin);
}

double lab::flow(const job &send, const job &receive, party &sender, party &receiver, std::chrono::milliseconds time)
{
	words_.clear();
	receiver.start(receive);
	sender.start(send);
	const auto found = rate(time);
	sender.finish();
	receiver.finish();
	return found;
}

double lab::throughput(const job &what, party &sender, party &receiver, std::chrono::milliseconds time)
{
	return flow(with_op(what, "source"), with_op(what, "sink"), sender, receiver, time);
}

double lab::many(const job &what, party &sender, party &receiver, std::chrono::milliseconds time)
{
	return flow(with_op(what, "many-source"), with_op(what, "many-sink"), sender, receiver, time);
}

double lab::alone(const job &what, const char *op, party &who, std::chrono::milliseconds time)
{
	words_.clear();
	who.start(with_op(what, op));
	const auto found = rate(time);
	who.finish();
	return found;
}

quantiles lab::round_trip(const job &what, party &first, party &second)
{
	second.start(with_op(what, "echo"));
	first.start(with_op(what, "ping"));
	const auto found = quantiles::parse(first.finish());
	second.finish();
	return found;
}

void lab::verify(job what, party &sender, party &receiver)
{
	constexpr std::size_t amount = 3 << 20;
	constexpr std::size_t messages = 16 * 1024;
	// A whole number of batches of every transport.
	const auto unit = what.size * 16;
	what.count = std::min(amount / unit + 1, messages / 16) * unit;
	receiver.start(with_op(what, "check-sink"));
	sender.start(with_op(what, "check-source"));
	sender.finish();
	receiver.finish();
}

double lab::moment(const job &what, party &who, const std::function<void()> &end)
{
	words_.clear();
	who.start(what);
	wait_for([&] { return words_.ready.load() != 0; });
	const auto from = steady::now();
	words_.go.store(1);
	end();
	const auto time = steady::now() - from;
	words_.stop.store(1);
	who.finish();
	return seconds(time) * 1e6;
}

double lab::moment(const job &what, party &who)
{
	return moment(what, who, [&] {
		const auto deadline = harness::deadline_after(party::patience);
		while (!words_.done.load()) {
			_mm_pause();
			if (steady::now() > deadline)
				throw harness::deadline_error{"it is not done"};
		}
	});
}

} // namespace bench
