// SPDX-License-Identifier: MIT
// One way, as fast as it goes.
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "channel_ends.hpp"
#include "descriptor_ends.hpp"
#include "plan.hpp"
#include "spinning_ends.hpp"
#include "two_threads.hpp"

namespace kvmchan::bench {
namespace {

using std::chrono::nanoseconds;

constexpr std::array<std::size_t, 5> sizes{64, 1024, 4096, 65536, 1 << 20};

struct result {
	double rate;
	/** Doorbells for each megabyte, of a path that has them. */
	std::optional<double> doorbells{};
};

struct candidate {
	std::string path;
	std::string spin;
	std::function<result(std::size_t size, nanoseconds duration, bool pinned)> run;
	/** Of all sizes, the only one; 0: any. */
	std::size_t only = 0;
};

template <typename Pair>
candidate make(const std::string &path, const std::string &spin, std::shared_ptr<Pair> pair, std::size_t only = 0)
{
	const auto run = [pair](std::size_t size, nanoseconds duration, bool pinned) -> result {
		if constexpr (requires { pair->doorbells(); }) {
			const std::uint64_t before = pair->doorbells();
			std::uint64_t bytes = 0;
			const double rate = stream_messages(*pair, size, duration, pinned, bytes);

			return {rate, static_cast<double>(pair->doorbells() - before) * 1e6 /
			                      static_cast<double>(bytes)};
		} else {
			std::uint64_t bytes = 0;

			return {stream_messages(*pair, size, duration, pinned, bytes)};
		}
	};

	return {path, spin, run, only};
}

/* Whatever happens to the copy, it is not left out. */
void keep(const void *bytes)
{
	asm volatile("" : : "r"(bytes) : "memory");
}

/* By one CPU, into shared memory of a ring's size: no path is faster. */
candidate make_memcpy()
{
	auto target = std::make_shared<memory>(memory::create_memfd("kvmchan-bench", raw_ring::size));
	const auto run = [target](std::size_t size, nanoseconds duration, bool pinned) -> result {
		double rate = 0;

		run_thread(pinned ? place::first : place::anywhere, [&] {
			const std::vector<std::byte> from(size);
			const auto start = clock::now();
			std::uint64_t bytes = 0;

			while (clock::now() - start < duration)
				for (std::size_t at = 0; at < target->bytes().size(); at += size, bytes += size) {
					std::memcpy(target->bytes().data() + at, from.data(), size);
					keep(target->bytes().data());
				}
			const std::chrono::duration<double, std::micro> took = clock::now() - start;

			rate = static_cast<double>(bytes) / took.count();
		}).join();
		return {rate};
	};

	return {"memcpy", "-", run};
}

/* Only what is asked for is set up: a region with its threads is no small thing. */
std::vector<candidate> make_candidates(const sample_file &out)
{
	std::vector<candidate> all;
	const auto wanted = [&](const std::string &path) {
		return out.wants("throughput", path) || out.wants("doorbells", path);
	};

	if (wanted("kvmchan"))
		all.push_back(make("kvmchan", "on", std::make_shared<channel_pair<stream_end>>()));
	if (wanted("kvmchan-packet"))
		all.push_back(make("kvmchan-packet", "on", std::make_shared<channel_pair<packet_end>>()));
	if constexpr (has_mapping<channel>) {
		if (wanted("kvmchan-mapped"))
			all.push_back(make("kvmchan-mapped", "on", std::make_shared<channel_pair<mapped_end<channel>>>()));
		if (wanted("kvmchan-mapped-packet"))
			all.push_back(make("kvmchan-mapped-packet", "on",
			                   std::make_shared<channel_pair<mapped_packet_end<channel>>>()));
	}
	if (wanted("raw-ring"))
		all.push_back(make("raw-ring", "-", std::make_shared<raw_ring_pair>()));
	if (wanted("spsc-queue"))
		all.push_back(make("spsc-queue", "-", std::make_shared<queue_pair>(), sizeof(queue_pair::slot)));
	if (wanted("memcpy"))
		all.push_back(make_memcpy());
	if (wanted("pipe"))
		all.push_back(make("pipe", "-", std::make_shared<descriptor_pair>(descriptor_pair::pipes())));
	if (wanted("unix"))
		all.push_back(make("unix", "-", std::make_shared<descriptor_pair>(descriptor_pair::unix_sockets())));
	if (wanted("tcp-loopback"))
		all.push_back(make("tcp-loopback", "-", std::make_shared<descriptor_pair>(descriptor_pair::tcp_loopback())));
	return all;
}

void measure(sample_file &out, const candidate &one, std::size_t size, bool pinned, unsigned round, const plan &how)
{
	const result got = one.run(size, how.slice, pinned);
	sample made{"throughput", one.path, "MB/s", got.rate};

	made.size = size;
	made.spin = one.spin;
	made.pinned = pinned;
	made.round = round;
	out.write(made);
	if (!got.doorbells)
		return;
	made.bench = "doorbells";
	made.unit = "1/MB";
	made.value = *got.doorbells;
	out.write(made);
}

} // namespace

void run_throughput(sample_file &out, const plan &how)
{
	const std::vector<candidate> candidates = make_candidates(out);

	if constexpr (!has_mapping<channel>)
		out.skip("kvmchan-mapped", "this library has no mapped path");
	for (unsigned round = 0; round < how.rounds; ++round)
		for (const bool pinned : {true, false})
			for (const std::size_t size : sizes)
				for (const candidate &one : candidates)
					if (!one.only || one.only == size)
						measure(out, one, size, pinned, round, how);
}

} // namespace kvmchan::bench
