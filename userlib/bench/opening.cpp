// SPDX-License-Identifier: MIT
// From open() on both sides to the first byte, and what an open end takes.
#include <array>
#include <barrier>
#include <filesystem>
#include <functional>
#include <vector>

#include <malloc.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "channel_ends.hpp"
#include "plan.hpp"
#include "two_threads.hpp"

namespace kvmchan::bench {
namespace {

constexpr unsigned openings = 100;

/** Both sides begin at once; @p read returns when the first byte is there. */
latencies open_often(const std::function<void()> &write, const std::function<void()> &read)
{
	latencies took;
	std::barrier together{2};
	std::thread reader = run_thread(place::second, [&] {
		for (unsigned i = 0; i < openings; ++i) {
			together.arrive_and_wait();
			const auto start = clock::now();

			read();
			took.add(clock::now() - start);
			together.arrive_and_wait();
		}
	});
	std::thread writer = run_thread(place::first, [&] {
		for (unsigned i = 0; i < openings; ++i) {
			together.arrive_and_wait();
			write();
			together.arrive_and_wait();
		}
	});

	reader.join();
	writer.join();
	return took;
}

latencies open_channels(const served_region &where)
{
	std::optional<channel> a, b;
	std::array<std::byte, 1> in{};

	return open_often(
		[&] {
			a.reset();
			a.emplace(where.open(0));
			a->write_all(std::array<std::byte, 1>{});
		},
		[&] {
			b.reset();
			b.emplace(where.open(1));
			/* Of the session before, which the writer may still have to end. */
			while (!b->read_some(in))
				b->reconnect();
		});
}

void report(sample_file &out, const std::string &path, latencies took, unsigned round)
{
	sample made{"open", path, "us", took.quantile(0.5)};

	made.pinned = true;
	made.round = round;
	made.spin = "on";
	made.p99 = took.quantile(0.99);
	made.p999 = took.quantile(0.999);
	made.count = took.count();
	out.write(made);
}

std::size_t descriptors()
{
	const std::filesystem::directory_iterator begin{"/proc/self/fd"};

	return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

/* In this process: its allocations. The rings are shared, and counted apart. */
void measure_memory(sample_file &out, unsigned round)
{
	constexpr unsigned count = 256;
	constexpr std::uint64_t ring = 4096;
	const served_region where{{channel_mode::stream, ring, count}};
	std::vector<channel> ends;

	ends.reserve(2 * count);
	const std::size_t heap_before = ::mallinfo2().uordblks, open_before = descriptors();

	for (unsigned i = 0; i < count; ++i) {
		ends.push_back(where.open(0, {}, i));
		ends.push_back(where.open(1, {}, i));
		connect(ends[2 * i], ends[2 * i + 1]);
	}
	sample made{"memory", "kvmchan", "bytes",
	            static_cast<double>(::mallinfo2().uordblks - heap_before) / static_cast<double>(ends.size())};

	made.size = 2 * ring;
	made.channels = count;
	made.round = round;
	made.what = "heap of an end";
	out.write(made);
	made.unit = "1";
	made.what = "descriptors of an end";
	made.value = static_cast<double>(descriptors() - open_before) / static_cast<double>(ends.size());
	out.write(made);
}

} // namespace

void run_opening(sample_file &out, const plan &how)
{
	for (unsigned round = 0; round < how.rounds; ++round) {
		if (out.wants("open", "kvmchan")) {
			const served_region where{{channel_mode::stream}};

			report(out, "kvmchan", open_channels(where), round);
		}
		if (out.wants("memory", "kvmchan"))
			measure_memory(out, round);
	}
}

} // namespace kvmchan::bench
