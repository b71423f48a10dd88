// SPDX-License-Identifier: MIT
// There and back, one message at a time.
#include <array>
#include <atomic>
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

/** Keeps the second end's CPU busy for as long as it lives. */
class hog {
public:
	hog()
		: thread_{run_thread(place::second, [this] {
			  while (!stop_.load(std::memory_order_relaxed))
				  relax();
		  })}
	{
	}
	hog(const hog &) = delete;
	hog &operator=(const hog &) = delete;
	~hog()
	{
		stop_.store(true, std::memory_order_relaxed);
		thread_.join();
	}

private:
	std::atomic<bool> stop_{false};
	std::thread thread_;
};

struct candidate {
	std::string path;
	std::string spin;
	std::function<latencies(std::size_t size, nanoseconds duration, bool pinned)> run;
	std::size_t most = 65536;
};

template <typename Pair>
candidate make(const std::string &path, const std::string &spin, std::shared_ptr<Pair> pair, std::size_t most = 65536)
{
	return {path, spin,
	        [pair](std::size_t size, nanoseconds duration, bool pinned) {
			return bounce_messages(*pair, size, duration, pinned);
		},
	        most};
}

template <typename End>
void add_channels(std::vector<candidate> &to, const sample_file &out, const std::string &path)
{
	channel_options sleeping;

	if (!out.wants("round_trip", path))
		return;
	sleeping.busy_poll = nanoseconds{0};
	to.push_back(make(path, "on", std::make_shared<channel_pair<End>>()));
	to.push_back(make(path, "off", std::make_shared<channel_pair<End>>(sleeping)));
}

std::vector<candidate> make_candidates(const sample_file &out)
{
	std::vector<candidate> all;
	const auto wanted = [&](const std::string &path) { return out.wants("round_trip", path); };

	add_channels<stream_end>(all, out, "kvmchan");
	add_channels<packet_end>(all, out, "kvmchan-packet");
	if constexpr (has_mapping<channel>) {
		add_channels<mapped_end<channel>>(all, out, "kvmchan-mapped");
		add_channels<mapped_packet_end<channel>>(all, out, "kvmchan-mapped-packet");
	}
	if (wanted("raw-ring"))
		all.push_back(make("raw-ring", "-", std::make_shared<raw_ring_pair>()));
	if (wanted("handoff"))
		all.push_back(make("handoff", "-", std::make_shared<handoff_pair>(), sizeof(queue_pair::slot)));
	if (wanted("spsc-queue"))
		all.push_back(make("spsc-queue", "-", std::make_shared<queue_pair>(), sizeof(queue_pair::slot)));
	if (wanted("pipe"))
		all.push_back(make("pipe", "-", std::make_shared<descriptor_pair>(descriptor_pair::pipes())));
	if (wanted("unix"))
		all.push_back(make("unix", "-", std::make_shared<descriptor_pair>(descriptor_pair::unix_sockets())));
	if (wanted("tcp-loopback"))
		all.push_back(make("tcp-loopback", "-", std::make_shared<descriptor_pair>(descriptor_pair::tcp_loopback())));
	return all;
}

void measure(sample_file &out, const candidate &one, const sample &about, nanoseconds duration, bool hogged = false)
{
	latencies took = one.run(about.size, duration, about.pinned);
	sample made = about;

	made.bench = "round_trip";
	made.path = one.path;
	made.unit = "us";
	made.spin = !hogged ? one.spin : one.spin == "off" ? "hogged-off" : "hogged";
	made.value = took.quantile(0.5);
	made.p99 = took.quantile(0.99);
	made.p999 = took.quantile(0.999);
	made.count = took.count();
	out.write(made);
}

/* Paths that never sleep would wait for the hog's whole turns: that is known. */
bool bears_a_hog(const candidate &one)
{
	return one.path == "kvmchan" || one.path == "pipe" || one.path == "unix";
}

} // namespace

void run_round_trips(sample_file &out, const plan &how)
{
	const std::vector<candidate> candidates = make_candidates(out);
	sample about;

	for (about.round = 0; about.round < how.rounds; ++about.round) {
		for (const bool pinned : {true, false})
			for (const std::size_t size : how.round_trip_sizes) {
				about.pinned = pinned;
				about.size = size;
				for (const candidate &one : candidates)
					if (size <= one.most)
						measure(out, one, about, how.slice);
			}
		const hog somebody;

		about.size = 64;
		about.pinned = false;
		for (const candidate &one : candidates)
			if (bears_a_hog(one))
				measure(out, one, about, how.slice, true);
	}
}

} // namespace kvmchan::bench
