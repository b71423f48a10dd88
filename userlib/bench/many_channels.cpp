// SPDX-License-Identifier: MIT
// All channels of a region at once: one writer in turn, one reader with epoll.
#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <sys/epoll.h>

#include "channel_ends.hpp"
#include "plan.hpp"
#include "two_threads.hpp"

namespace kvmchan::bench {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t message_size = 65536;
constexpr std::uint64_t ring_size = std::uint64_t{256} << 10;

class busy_channels {
public:
	busy_channels(unsigned count, unsigned vectors)
		: region_{{channel_mode::stream, ring_size, count, vectors}}, epoll_{::epoll_create1(EPOLL_CLOEXEC)}
	{
		for (unsigned i = 0; i < count; ++i) {
			writers_.push_back(region_.open(0, {}, i));
			readers_.push_back(region_.open(1, {}, i));
			connect(writers_.back(), readers_.back());
			readers_.back().non_blocking(true);
			epoll_event event{};

			event.events = EPOLLIN;
			event.data.u32 = i;
			if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, readers_.back().native_handle(), &event))
				throw std::system_error{errno, std::system_category(), "epoll"};
		}
	}

	/** MB/s over all channels together. */
	double run(nanoseconds duration)
	{
		std::uint64_t sent = 0;
		double rate = 0;
		std::atomic<std::uint64_t> limit{~std::uint64_t{0}};
		const auto start = clock::now();
		std::thread writer = run_thread(place::first, [&] {
			const std::vector<std::byte> message(message_size);

			while (clock::now() - start < duration)
				for (channel &to : writers_) {
					to.write_all(message);
					sent += message.size();
				}
			limit.store(sent);
			/* Whoever sleeps by now finds out. */
			writers_.front().write_all(std::span{message}.first(1));
		});
		std::thread reader = run_thread(place::second, [&] {
			const std::uint64_t got = read_all(limit);
			const std::chrono::duration<double, std::micro> took = clock::now() - start;

			rate = static_cast<double>(got) / took.count();
		});

		writer.join();
		reader.join();
		return rate;
	}

private:
	std::uint64_t read_all(const std::atomic<std::uint64_t> &limit)
	{
		std::vector<std::byte> buffer(message_size);
		std::array<epoll_event, 64> events;
		std::uint64_t got = 0;

		/* The byte that comes last counts as well. */
		while (got <= limit.load()) {
			const int n = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);

			for (int i = 0; i < n; ++i)
				got += drain(readers_[events[static_cast<std::size_t>(i)].data.u32], buffer);
		}
		return got;
	}

	/* Until it would block, which is what arms it again. */
	static std::uint64_t drain(channel &from, std::span<std::byte> buffer)
	{
		std::uint64_t got = 0;

		for (;;) {
			std::error_code ec;
			const std::size_t n = from.read_some(buffer, ec);

			if (ec == std::errc::operation_would_block)
				return got;
			if (ec || !n)
				ended_early();
			got += n;
		}
	}

	served_region region_;
	unique_fd epoll_;
	std::vector<channel> writers_, readers_;
};

/* In and out of as many rings, by one thread: what the caches make of so much memory. MB/s. */
double copy_through(std::size_t rings, nanoseconds duration)
{
	std::vector<std::byte> memory(rings * ring_size), message(message_size);
	double rate = 0;

	run_thread(place::first, [&] {
		const auto start = clock::now();
		std::uint64_t copied = 0;

		for (std::size_t at = 0; clock::now() - start < duration; at += message_size)
			for (std::size_t ring = 0; ring < rings; ++ring) {
				std::byte *const place = &memory[ring * ring_size + at % ring_size];

				std::memcpy(place, message.data(), message_size);
				std::memcpy(message.data(), place, message_size);
				copied += message_size;
			}
		const std::chrono::duration<double, std::micro> took = clock::now() - start;

		rate = static_cast<double>(copied) / took.count();
	}).join();
	return rate;
}

void report(sample_file &out, const char *path, double rate, unsigned count, unsigned round)
{
	sample made{"throughput", path, "MB/s", rate};

	made.size = message_size;
	made.channels = count;
	made.pinned = true;
	made.round = round;
	if (std::string_view{path}.starts_with("kvmchan"))
		made.spin = "on";
	out.write(made);
}

} // namespace

void run_many_channels(sample_file &out, const plan &how)
{
	std::vector<std::pair<unsigned, std::unique_ptr<busy_channels>>> candidates;

	if (!out.wants("throughput", "kvmchan-many"))
		return;
	for (const unsigned count : {1U, 4U, 16U, 64U, 256U})
		candidates.emplace_back(count, std::make_unique<busy_channels>(count, region_config{}.vectors));
	for (unsigned round = 0; round < how.rounds; ++round)
		for (const auto &[count, channels] : candidates) {
			report(out, "kvmchan-many", channels->run(2 * how.slice), count, round);
			report(out, "memcpy-many", copy_through(count, how.slice), count, round);
		}
}

} // namespace kvmchan::bench
