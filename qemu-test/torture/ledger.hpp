// SPDX-License-Identifier: MIT
#pragma once

#include "report.hpp"
#include "tags.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace torture {

using clock = std::chrono::steady_clock;

/** What both ends have said, and whether it fits together as kmod/FORMAT.md promises. */
class ledger {
public:
	explicit ledger(unsigned channels);

	/** Throws harness::error when something was lost, doubled, stale or wrong. */
	void take(unsigned side, const report &what);
	/** The process of this end is gone, and whatever it had. */
	void forget(unsigned side);

	/** Do both ends have each other's header on all channels? */
	bool all_paired() const;
	/** The sessions that an end has with a session of the other one, on all channels where both know. */
	std::set<std::uint64_t> paired_sessions(unsigned side) const;

	/** When the session ended, if it has. */
	const clock::time_point *ended(std::uint64_t tag) const;
	/** Was it ended in order: told to end, and the end of the file read? */
	bool in_order(std::uint64_t tag) const;

	/** The sessions that there are now, for people. */
	std::string story() const;

	std::uint64_t sessions() const { return sessions_; }
	std::uint64_t ends_seen() const { return ends_seen_; }
	std::uint64_t bytes() const { return bytes_; }

private:
	struct present {
		std::uint64_t my = 0;
		std::uint64_t peer = 0;
	};
	struct past {
		report said;
		clock::time_point when;
	};

	present &at(unsigned side, std::uint64_t tag) { return now_[side].at(channel_of(tag)); }
	void take_pairing(unsigned side, const report &what);
	void take_end(unsigned side, const report &what, bool killed);
	void check_endings(const report &what) const;
	void check_pair(const report &reader, const report &writer) const;
	void check_against_all(const report &what) const;

	std::array<std::vector<present>, 2> now_;
	std::map<std::uint64_t, past> past_;
	std::map<std::uint64_t, std::uint64_t> by_peer_; // who was paired with that session
	std::array<std::vector<std::uint64_t>, 2> last_received_;
	std::uint64_t sessions_ = 0;
	std::uint64_t ends_seen_ = 0;
	std::uint64_t bytes_ = 0;
};

/** A tag for people. */
std::string name_of(std::uint64_t tag);

} // namespace torture
