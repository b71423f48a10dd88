// SPDX-License-Identifier: MIT
// Writes of a hostile peer that wait for a certain load.
#ifndef KVMCHAN_FUZZ_AMBUSH_HPP
#define KVMCHAN_FUZZ_AMBUSH_HPP

#include <cstdint>
#include <functional>
#include <vector>

namespace kvmchan::fuzz {

/** Counts the loads of shared words, and strikes before some of them. */
class ambush {
public:
	/** Has @p strike called before the load that follows @p loads others. */
	void wait(unsigned loads, std::function<void()> strike) { waiting_.push_back({loads, std::move(strike)}); }

	/** From the accessors. */
	void before_load()
	{
		++loads_;
		for (std::size_t i = 0; i < waiting_.size(); ++i) {
			if (waiting_[i].loads--)
				continue;
			const auto strike = std::move(waiting_[i].strike);

			waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i--));
			strike();
		}
	}

	std::uint64_t loads() const noexcept { return loads_; }

private:
	struct entry {
		unsigned loads;
		std::function<void()> strike;
	};

	std::vector<entry> waiting_;
	std::uint64_t loads_ = 0;
};

} // namespace kvmchan::fuzz

#endif
