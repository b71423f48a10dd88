// SPDX-License-Identifier: MIT
// What calls cost by themselves, with both ends in one thread: Google Benchmark
// repeats them, in an order of its own, and tells us.
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "channel_ends.hpp"
#include "descriptor_ends.hpp"
#include "plan.hpp"
#include "pinning.hpp"
#include "ready_ends.hpp"
#include "spinning_ends.hpp"

namespace kvmchan::bench {
namespace {

using benchmark::State;

/** Makes samples of what the library reports; a name stands for all but the figures. */
class sample_reporter : public benchmark::BenchmarkReporter {
public:
	explicit sample_reporter(sample_file &out) : out_{out} {}

	void add(const std::string &name, const sample &about) { about_[name] = about; }

	bool empty() const noexcept { return about_.empty(); }

	bool ReportContext(const Context &) override { return true; }
	void ReportRuns(const std::vector<Run> &runs) override
	{
		for (const Run &run : runs) {
			if (run.error_occurred)
				throw std::runtime_error{run.benchmark_name() + ": " + run.error_message};
			if (run.run_type == Run::RT_Iteration)
				report(run);
		}
	}

private:
	void report(const Run &run)
	{
		sample made = about_.at(run.run_name.function_name);
		const double seconds = run.real_accumulated_time / static_cast<double>(run.iterations);

		made.value = made.unit == "1/s" ? 1 / seconds : seconds * 1e6 / (made.what.starts_with("one ready") ? 1 : made.channels);
		made.round = static_cast<unsigned>(run.repetition_index);
		made.count = static_cast<std::uint64_t>(run.iterations);
		out_.write(made);
	}

	sample_file &out_;
	std::map<std::string, sample> about_;
};

class call_benchmark : public benchmark::Fixture {
public:
	call_benchmark(const std::string &name, std::function<void(State &)> function) : function_{std::move(function)}
	{
		SetName(name.c_str());
	}

protected:
	void BenchmarkCase(State &state) override { function_(state); }

private:
	std::function<void(State &)> function_;
};

class call_suite {
public:
	call_suite(sample_file &out, plan how) : how_{std::move(how)}, reporter_{out} {}

	/** One message in and out; @p make sets the path up when its turn has come. */
	template <typename Make>
	void add_call_rate(const std::string &path, std::size_t size, Make make)
	{
		sample about{"call_rate", path, "1/s"};

		about.size = size;
		about.spin = path.starts_with("kvmchan") ? "on" : "-";
		add(about, [size, pair = std::shared_ptr<decltype(make())>{}, make](State &state) mutable {
			if (!pair)
				pair = hold(make);
			std::vector<std::byte> bytes(size);

			for (auto &&again : state) {
				static_cast<void>(again);
				pair->a().send(bytes);
				pair->b().recv(bytes);
			}
		});
	}

	void add_null_write(std::size_t size)
	{
		sample about{"call_rate", "null-write", "1/s"};

		about.size = size;
		add(about, [size](State &state) {
			const unique_fd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
			const std::vector<std::byte> bytes(size);

			for (auto &&again : state) {
				static_cast<void>(again);
				if (::write(null.get(), bytes.data(), bytes.size()) < 0)
					state.SkipWithError("/dev/null");
			}
		});
	}

	/** What it takes to hear of each of so many ready ends, and to empty them. */
	template <typename Make>
	void add_epoll(sample about, Make make)
	{
		about.bench = "epoll";
		about.unit = "us";
		about.size = 64;
		add(about, [ends = std::shared_ptr<decltype(make())>{}, make](State &state) mutable {
			if (!ends)
				ends = hold(make);
			for (auto &&again : state) {
				static_cast<void>(again);
				ends->fill();
				state.SetIterationTime(ends->empty());
			}
		})->UseManualTime();
	}

	void run()
	{
		if (reporter_.empty())
			return;
		const std::string time = "--benchmark_min_time=" + std::to_string(std::chrono::duration<double>{how_.slice}.count());
		const std::string rounds = "--benchmark_repetitions=" + std::to_string(how_.rounds);
		std::array<const char *, 4> words{"bench-host", time.c_str(), rounds.c_str(),
		                                  "--benchmark_enable_random_interleaving=true"};
		int count = words.size();

		benchmark::Initialize(&count, const_cast<char **>(words.data()));
		run_at(place::first);
		benchmark::RunSpecifiedBenchmarks(&reporter_);
		run_at(place::anywhere);
		benchmark::ClearRegisteredBenchmarks();
	}

private:
	/* Ends do not move: they are made where they stay. */
	template <typename Make>
	static auto hold(const Make &make)
	{
		using made = decltype(make());

		return std::shared_ptr<made>{new made{make()}};
	}

	template <typename Function>
	benchmark::internal::Benchmark *add(sample about, Function function)
	{
		const std::string name = about.bench + "/" + about.path + "/" + std::to_string(about.size) + "/" +
		                         std::to_string(about.channels) + about.spin + about.what;

		about.pinned = true;
		reporter_.add(name, about);
		/* The library owns it from here on. */
		return benchmark::internal::RegisterBenchmarkInternal(
			std::make_unique<call_benchmark>(name, std::move(function)).release()); // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)
	}

	plan how_;
	sample_reporter reporter_;
};

void add_call_rates(call_suite &suite, const sample_file &out)
{
	const auto wanted = [&](const std::string &path) { return out.wants("call_rate", path); };

	for (const std::size_t size : {std::size_t{64}, std::size_t{4096}}) {
		if (wanted("kvmchan"))
			suite.add_call_rate("kvmchan", size, [] { return channel_pair<stream_end>{}; });
		if (wanted("kvmchan-packet"))
			suite.add_call_rate("kvmchan-packet", size, [] { return channel_pair<packet_end>{}; });
		if constexpr (has_mapping<channel>) {
			if (wanted("kvmchan-mapped"))
				suite.add_call_rate("kvmchan-mapped", size,
				                    [] { return channel_pair<mapped_end<channel>>{}; });
			if (wanted("kvmchan-mapped-packet"))
				suite.add_call_rate("kvmchan-mapped-packet", size,
				                    [] { return channel_pair<mapped_packet_end<channel>>{}; });
		}
		if (wanted("raw-ring"))
			suite.add_call_rate("raw-ring", size, [] { return raw_ring_pair{}; });
		if (wanted("pipe"))
			suite.add_call_rate("pipe", size, descriptor_pair::pipes);
		if (wanted("unix"))
			suite.add_call_rate("unix", size, descriptor_pair::unix_sockets);
		if (wanted("tcp-loopback"))
			suite.add_call_rate("tcp-loopback", size, descriptor_pair::tcp_loopback);
		if (wanted("null-write"))
			suite.add_null_write(size);
	}
}

sample about_epoll(const std::string &path, unsigned channels, const std::string &spin)
{
	sample about;

	about.path = path;
	about.channels = channels;
	about.spin = spin;
	return about;
}

void add_epoll(call_suite &suite, const sample_file &out)
{
	for (const unsigned count : {1U, 16U, 64U, 256U}) {
		if (out.wants("epoll", "kvmchan")) {
			for (const bool spin : {true, false})
				suite.add_epoll(about_epoll("kvmchan", count, spin ? "on" : "off"),
				                [count, spin] { return ready_channels{count, spin, count}; });
			/* By default channels share vectors: a ring wakes all of one. */
			sample one = about_epoll("kvmchan", count, "off");

			one.what = "one ready";
			suite.add_epoll(one, [count] { return ready_channels{count, false, 1}; });
			one.what = "one ready, a vector for each";
			suite.add_epoll(one, [count] { return ready_channels{count, false, 1, count}; });
		}
		if (out.wants("epoll", "pipe"))
			suite.add_epoll(about_epoll("pipe", count, "-"),
			                [count] { return ready_descriptors{count, descriptor_pair::pipes}; });
		if (out.wants("epoll", "unix"))
			suite.add_epoll(about_epoll("unix", count, "-"),
			                [count] { return ready_descriptors{count, descriptor_pair::unix_sockets}; });
	}
}

} // namespace

void run_calls(sample_file &out, const plan &how)
{
	call_suite suite{out, how};

	add_call_rates(suite, out);
	add_epoll(suite, out);
	suite.run();
}

} // namespace kvmchan::bench
