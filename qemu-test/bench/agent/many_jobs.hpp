// SPDX-License-Identifier: MIT
#pragma once

#include "control.hpp"
#include "jobs.hpp"
#include "many.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/** Jobs of the guest that open channels themselves. */
class many_jobs {
public:
	/**
	 * many-source, many-sink: `count` channels with names that begin with
	 * `where`. hold: has so many open, none for 0. open-nodes: the same by
	 * open() alone, from `go` to `done`, until close-nodes. ready-drain: of so many, all
	 * of which have a byte, reads that; from `go` to `done`. open-write: opens
	 * `where` at `go`, writes a byte, and closes at `stop`.
	 */
	bool knows(std::string_view op) const;
	std::string perform(const job &what, control &words);

private:
	many_channels &group(const std::string &prefix);

	void open_nodes(const job &what, control &words);

	std::map<std::string, many_channels> groups_;
	std::vector<kvmchan::unique_fd> nodes_;
};

} // namespace bench
