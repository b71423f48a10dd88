// SPDX-License-Identifier: MIT
// What open channels cost while nothing happens.
#include <thread>
#include <vector>

#include <time.h>

#include "channel_ends.hpp"
#include "plan.hpp"
#include "ready_ends.hpp"

namespace kvmchan::bench {
namespace {

constexpr unsigned channels = 64;

std::chrono::nanoseconds cpu_time()
{
	timespec now{};

	::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

/** A reader asleep on each channel, as a program with a thread for each would have them. */
class sleeping_readers {
public:
	sleeping_readers()
	{
		for (unsigned i = 0; i < channels; ++i) {
			writers_.push_back(region_.open(0, {}, i));
			readers_.push_back(region_.open(1, {}, i));
			connect(writers_.back(), readers_.back());
		}
		for (channel &from : readers_)
			threads_.emplace_back([&from] {
				std::array<std::byte, 1> in{};
				std::error_code ec;

				from.read_some(in, ec);
			});
	}
	sleeping_readers(const sleeping_readers &) = delete;
	sleeping_readers &operator=(const sleeping_readers &) = delete;
	~sleeping_readers()
	{
		writers_.clear();
		for (std::thread &thread : threads_)
			thread.join();
	}

	std::uint64_t doorbells() const
	{
		std::uint64_t all = 0;

		for (const auto *ends : {&writers_, &readers_})
			for (const channel &end : *ends)
				all += end.counters().doorbells_sent;
		return all;
	}

private:
	served_region region_{{channel_mode::stream, 4096, channels}};
	std::vector<channel> writers_, readers_;
	std::vector<std::thread> threads_;
};

} // namespace

void run_idle(sample_file &out, const plan &how)
{
	if (!out.wants("idle", "kvmchan"))
		return;
	const sleeping_readers asleep;

	for (unsigned round = 0; round < how.rounds; ++round) {
		/* The first time also lets the readers get to sleep. */
		std::this_thread::sleep_for(how.slice);
		const std::uint64_t rung = asleep.doorbells();
		const auto used = cpu_time();

		std::this_thread::sleep_for(10 * how.slice);
		const double seconds = std::chrono::duration<double>{10 * how.slice}.count();
		sample made{"idle", "kvmchan", "s", std::chrono::duration<double>{cpu_time() - used}.count() / seconds};

		made.channels = channels;
		made.spin = "on";
		made.round = round;
		made.what = "cpu";
		out.write(made);
		made.unit = "1/s";
		made.what = "doorbells";
		made.value = static_cast<double>(asleep.doorbells() - rung) / seconds;
		out.write(made);
	}
}

} // namespace kvmchan::bench
