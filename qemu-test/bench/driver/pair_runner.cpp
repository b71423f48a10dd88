// SPDX-License-Identifier: MIT
#include "pair_runner.hpp"

#include "error.hpp"
#include "lab.hpp"
#include "spin.h"

#include <fmt/format.h>

#include <iostream>
#include <regex>
#include <utility>

namespace bench {

namespace {

struct pair_candidate {
	const char *path;
	const char *where;
	spin spinning = spin::none;
	bool flows = true;
};

constexpr pair_candidate all[] = {
	{"raw-ring", "ring"},
	{"kvmchan", "stream", spin::on},
	{"kvmchan", "stream", spin::off, false},
#ifdef BENCH_MAPPED
	{"kvmchan-mapped", "mapped", spin::on},
#endif
	{"tcp-socket", ""},
	{"tcp-tap", ""},
};

/* An agent that is told the place as this guest has it. */
class placed_agent final : public party {
public:
	placed_agent(guest_pair &at, std::size_t guest) : at_{at}, guest_{guest} {}

	using party::finish;
	void start(const job &what) override
	{
		auto here = what;
		here.where = at_.where(what.path, what.where, guest_);
		at_.agent(guest_).start(here);
	}
	std::string finish(harness::milliseconds limit) override { return at_.agent(guest_).finish(limit); }

private:
	guest_pair &at_;
	std::size_t guest_;
};

void busy_polling(guest_pair &at, bool on)
{
	for (std::size_t i = 0; i < guest_pair::guests; ++i)
		at.vm(i).check(fmt::format("echo {} >/sys/module/kvmchan/parameters/busy_poll_us", on ? KVMCHAN_SPIN_DEFAULT_US : 0));
}

class pair_runner {
public:
	pair_runner(guest_pair &at, samples &to, const effort &how, nlohmann::json common)
	    : at_{at}, samples_{to}, effort_{how}, common_(std::move(common)), lab_{at.words()}, first_{at, 0}, second_{at, 1}
	{
	}

	void flow(const pair_candidate &each, unsigned round)
	{
		for (const std::size_t size : {std::size_t{4} << 10, std::size_t{64} << 10}) {
			const job what{.path = each.path, .where = each.where, .size = size};
			if (!wanted(each, "g2g", size))
				continue;
			if (round == 0)
				lab_.verify(what, first_, second_);
			auto sample = sample_of(each, "throughput", "g2g", size, round);
			sample["unit"] = "MB/s";
			sample["value"] = lab_.throughput(what, first_, second_, effort_.time);
			samples_.write(sample);
		}
	}

	void turns(const pair_candidate &each, unsigned round)
	{
		const job what{.path = each.path, .where = each.where, .size = 64, .count = effort_.round_trips};
		if (!wanted(each, "g2g", 64))
			return;
		if (each.spinning == spin::off)
			busy_polling(at_, false);
		const auto found = lab_.round_trip(what, first_, second_);
		if (each.spinning == spin::off)
			busy_polling(at_, true);
		auto sample = sample_of(each, "round_trip", "g2g", 64, round);
		sample["unit"] = "us";
		sample["value"] = found.p50;
		sample["p99"] = found.p99;
		sample["p999"] = found.p999;
		sample["count"] = found.count;
		samples_.write(sample);
	}

private:
	bool wanted(const pair_candidate &each, const char *direction, std::size_t size) const
	{
		return std::regex_search(fmt::format("{} {} {} {} 1 {}", each.path, each.where, direction, size, name_of(each.spinning)),
		                         effort_.only);
	}

	nlohmann::json sample_of(const pair_candidate &each, const char *bench, const char *direction, std::size_t size,
	                         unsigned round) const
	{
		auto out = common_;
		out.update({{"bench", bench}, {"path", each.path}, {"dir", direction}, {"size", size},
		            {"channels", 1}, {"spin", name_of(each.spinning)}, {"round", round}});
		return out;
	}

	guest_pair &at_;
	samples &samples_;
	const effort &effort_;
	nlohmann::json common_;
	lab lab_;
	placed_agent first_;
	placed_agent second_;
};

} // namespace

void run_pair(guest_pair &at, samples &to, const effort &how, unsigned cpus, unsigned boot)
{
	pair_runner runner{at, to, how, {{"cpus", cpus}, {"boot", boot}}};
	for (const auto &[path, why] : at.skipped())
		to.skip(path, why);
	for (unsigned round = 0; round < how.rounds; ++round) {
		for (const auto &each : all) {
			if (!at.has(each.path))
				continue;
			try {
				if (each.flows)
					runner.flow(each, round);
				runner.turns(each, round);
			} catch (const harness::deadline_error &e) {
				throw harness::deadline_error{fmt::format("{} between guests: {}", each.path, e.what())};
			}
		}
		std::cerr << "bench-guests: two guests, boot " << boot << ", round " << round + 1 << " of " << how.rounds << std::endl;
	}
}

} // namespace bench
