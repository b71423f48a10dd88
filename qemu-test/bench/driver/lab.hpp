// SPDX-License-Identifier: MIT
#pragma once

#include "control.hpp"
#include "jobs.hpp"
#include "party.hpp"

#include <chrono>
#include <cstdint>
#include <functional>

namespace bench {

/** Single measurements between parties, which share the control words. All throw what party::finish() throws. */
class lab {
public:
	explicit lab(control &words) : words_{words} {}

	/** Megabytes (10^6) per second that the receiver got, at the host's clock. */
	double throughput(const job &what, party &sender, party &receiver, std::chrono::milliseconds time);
	/** The same of `what.count` channels, each end in one thread. */
	double many(const job &what, party &sender, party &receiver, std::chrono::milliseconds time);
	/** One end alone does @p op, "fill" or "drain". */
	double alone(const job &what, const char *op, party &who, std::chrono::milliseconds time);
	/** There and back. */
	quantiles round_trip(const job &what, party &first, party &second);
	/** That what is written is what is read; throws if not. */
	void verify(job what, party &sender, party &receiver);

	/** Microseconds from when @p who, who has started @p what and waits for it, may go, until he says that he is done. */
	double moment(const job &what, party &who);
	/** The same, until @p end returns. */
	double moment(const job &what, party &who, const std::function<void()> &end);

	/** Bytes of the last throughput(). */
	std::uint64_t bytes() const { return words_.received.load(); }

private:
	double flow(const job &send, const job &receive, party &sender, party &receiver, std::chrono::milliseconds time);
	double rate(std::chrono::milliseconds time);
	static void wait_for(const std::function<bool()> &condition);

	control &words_;
};

} // namespace bench
