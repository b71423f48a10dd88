// SPDX-License-Identifier: MIT
#pragma once

#include "ledger.hpp"
#include "outcome.hpp"
#include "progress.hpp"
#include "stored_server.hpp"

#include "guest.hpp"
#include "host_process.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace torture {

enum side : unsigned { host_side = 0, guest_side = 1 };

/**
 * A server, a guest and an end in each of guest and host, with traffic on all
 * channels; what is needed to do away with any of them and to see what comes of it.
 */
class rig {
public:
	/** @p boot starts the guest, again and again; @p windows: its end may have rings mapped. */
	rig(std::function<harness::guest &(harness::guest_options)> boot, outcome &result, std::uint64_t seed, bool windows);
	rig(const rig &) = delete;
	rig &operator=(const rig &) = delete;
	~rig();

	stored_server &server() { return server_; }
	harness::guest &machine() { return *machine_; }
	harness::host_process &host() { return *host_; }
	harness::guest_command &guest_end() { return *guest_; }
	outcome &result() { return result_; }

	void boot();
	void start(side which);
	/** The process of an end is gone, or has been left with its machine. */
	void lost(side which);
	void unplug();
	void replug();

	/** A number from 0 to below @p n. */
	unsigned random(unsigned n) { return static_cast<unsigned>(random_() % n); }
	bool coin() { return random(2) == 0; }

	/** Takes what the ends say, for a random time, mostly short. */
	void linger();
	/** Until all channels have traffic both ways. */
	void await_traffic();
	/** Until twice the rings of all channels have gone through, both ways. */
	void await_progress();
	/**
	 * Does away with something, and comes back with traffic on all channels.
	 * Half of the times @p after waits until the survivors of @p losers have
	 * seen the end. Survivors' waits count from before @p death.
	 */
	void strike(std::vector<side> losers, const std::function<void()> &death, const std::function<void()> &after);
	/** Something happens that no session may notice. */
	void disturb(const std::function<void()> &what);
	/** Both ends come to their end in order, and all has arrived. */
	void finish();

	/** What must not grow, now; all channels have traffic. */
	footprint measure();
	void take();

private:
	template <typename Done>
	void wait(const char *what, Done done);
	std::string story();
	void take_lines(side which, const std::string &text);
	void check_running(side which);
	void await_ends(const std::set<std::uint64_t> &sessions);
	void note_waits(const std::set<std::uint64_t> &sessions, clock::time_point since);

	std::function<harness::guest &(harness::guest_options)> boot_;
	outcome &result_;
	std::uint64_t seed_;
	bool windows_;
	std::mt19937_64 random_;
	harness::temp_dir dir_{"ends"};
	stored_server server_;
	progress_file progress_{dir_ / "progress"};
	ledger ledger_;
	harness::guest *machine_ = nullptr;
	std::optional<harness::host_process> host_;
	std::optional<harness::guest_command> guest_;
	std::string partial_[2];
	std::uint32_t instances_[2] = {};
	std::uint64_t pids_[2] = {};
};

} // namespace torture
