// SPDX-License-Identifier: MIT
#pragma once

#include "host_ends.hpp"
#include "host_party.hpp"
#include "lab.hpp"
#include "machine.hpp"
#include "plan.hpp"
#include "samples.hpp"

#include <chrono>
#include <functional>
#include <regex>
#include <string>
#include <vector>

namespace bench {

enum class way { h2g, g2h };

/** How much is measured. */
struct effort {
	bool full = false;
	unsigned boots = 1;
	unsigned rounds = 7;
	std::chrono::milliseconds time{300};
	std::size_t round_trips = 4000;
	std::regex only{""};
};

/** Runs the plan on one machine, all candidates in turn, again and again. */
class runner {
public:
	runner(machine &at, samples &to, effort how, unsigned cpus, unsigned boot);

	void run();
	/** Instead: what the guest runs for each message of all that is wanted, once. */
	void run_profiled(profile &to);

private:
	struct step {
		candidate line;
		job what;
		way direction;
		std::string name() const;
	};

	/** Rings that each side has sent in a channel. */
	struct rings {
		std::uint64_t guest = 0;
		std::uint64_t host = 0;
	};

	std::vector<step> steps();
	std::uint64_t messages(const step &each) const;
	rings rung(const std::string &slot);
	bool skipped(const std::string &path);
	static void named(const step &each, const std::function<void()> &work);
	void measure_step(const step &each, unsigned round);
	void stream_step(const step &each, nlohmann::json sample);
	void turns_step(const step &each, nlohmann::json sample);
	void doorbells(nlohmann::json sample, std::uint64_t guest, std::uint64_t host);
	double opening();
	void extras(unsigned round);
	/* What channels cost by their number. */
	void crowd(std::size_t count);
	party &sender(way direction);
	party &receiver(way direction);
	void idle(std::size_t channels);
	nlohmann::json sample_of(const char *bench, const std::string &path, unsigned round) const;
	bool wanted(const std::string &name) const { return std::regex_search(name, effort_.only); }

	machine &at_;
	lab lab_;
	host_ends ends_;
	host_party host_;
	samples &samples_;
	effort effort_;
	unsigned cpus_;
	unsigned boot_;
};

} // namespace bench
