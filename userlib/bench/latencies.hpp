// SPDX-License-Identifier: MIT
// How long many of the same took.
#ifndef KVMCHAN_BENCH_LATENCIES_HPP
#define KVMCHAN_BENCH_LATENCIES_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace kvmchan::bench {

class latencies {
public:
	void add(std::chrono::nanoseconds took) { all_.push_back(took); }
	std::uint64_t count() const noexcept { return all_.size(); }

	/** Microseconds that @p share of them took at most; there has to be one. */
	double quantile(double share)
	{
		const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(all_.size() - 1));

		std::nth_element(all_.begin(), all_.begin() + rank, all_.end());
		return std::chrono::duration<double, std::micro>{all_[static_cast<std::size_t>(rank)]}.count();
	}

private:
	std::vector<std::chrono::nanoseconds> all_;
};

} // namespace kvmchan::bench

#endif
