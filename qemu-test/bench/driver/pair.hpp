// SPDX-License-Identifier: MIT
#pragma once

#include "agent.hpp"
#include "control.hpp"
#include "guest.hpp"
#include "network.hpp"
#include "region_server.hpp"

#include <kvmchan/memory.hpp>
#include <kvmchan/region.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/** Two guests with channels between them; the host only looks on. */
class guest_pair {
public:
	static constexpr std::size_t guests = 2;

	explicit guest_pair(unsigned cpus);

	bench::agent &agent(std::size_t guest) { return *agents_[guest]; }
	harness::guest &vm(std::size_t guest) { return *vms_[guest]; }
	control &words() const { return *reinterpret_cast<control *>(words_->bytes().data()); }
	/** `where` of a transport, as that guest's agent wants it. */
	std::string where(const std::string &path, const std::string &slot, std::size_t guest) const;
	bool has(const std::string &path) const;
	const std::vector<std::pair<std::string, std::string>> &skipped() const { return skipped_; }

	/** As of the class machine. */
	void finish();
	void abandon();

private:
	harness::region_server server_;
	/// Each one's card in each network.
	std::vector<std::vector<network>> networks_;
	std::vector<std::pair<std::string, std::string>> skipped_;
	std::array<std::optional<harness::guest>, guests> vms_;
	std::optional<kvmchan::region> region_;
	std::optional<kvmchan::memory_block> words_;
	std::array<std::unique_ptr<bench::agent>, guests> agents_;
};

} // namespace bench
