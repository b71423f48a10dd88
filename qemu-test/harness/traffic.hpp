// SPDX-License-Identifier: MIT
#pragma once

#include "pattern.hpp"
#include "time_limit.hpp"

#include <kvmchan/channel.hpp>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace harness {

/** What to send through a channel whose other end gives everything back. */
struct traffic_plan {
	std::uint64_t bytes = 1 << 20;
	std::size_t largest = 1 << 20; ///< of a write and a read; records: of a record
	std::uint64_t seed = 1;
	std::chrono::nanoseconds busy_poll = kvmchan::channel_options{}.busy_poll;
};

/**
 * One channel of the host that sends a pattern in pieces of random sizes, takes
 * back what comes in pieces of other random sizes, and checks each byte, both at
 * the same time. Not ready to do more: wait for handle().
 */
class echoed_traffic {
public:
	echoed_traffic(const kvmchan::region &where, const std::string &name, const traffic_plan &plan);

	int handle() const { return channel_.native_handle(); }
	/** Goes on until it would block; true when all has come back, and then the end. */
	bool run();
	const kvmchan::channel &channel() const { return channel_; }
	std::uint64_t sent() const { return sent_; }
	std::uint64_t received() const { return received_; }
	std::uint64_t records() const { return records_sent_; }

private:
	bool send();
	bool receive();
	std::size_t record_length(std::uint64_t index) const;

	kvmchan::channel channel_;
	traffic_plan plan_;
	pattern pattern_;
	bool packet_;
	std::minstd_rand random_;
	std::vector<std::byte> out_;
	std::vector<std::byte> in_;
	std::size_t out_begin_ = 0;
	std::size_t out_end_ = 0;
	std::uint64_t sent_ = 0;
	std::uint64_t received_ = 0;
	std::uint64_t records_sent_ = 0;
	std::uint64_t records_received_ = 0;
	bool shut_ = false;
	bool over_ = false;
};

/** Runs all of them in one edge-triggered epoll loop; throws deadline_error with how far each came. */
void run_all(std::vector<std::unique_ptr<echoed_traffic>> &all, milliseconds limit);

} // namespace harness
