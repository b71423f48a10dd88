// SPDX-License-Identifier: MIT
/*
 * Death and restart, again and again, of ends, machines, drivers and servers,
 * under traffic on several channels. Each byte is checked, and each session is
 * accounted for. scripts/torture says what may be chosen.
 *
 *   TORTURE_CYCLES  of each kind (default: a few)
 *   TORTURE_SEED    of the first kind; a failure tells the one that it had
 */
#include "kinds.hpp"

#include "daemon.hpp"
#include "guest_case.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <ostream>
#include <random>

namespace torture {

namespace {

std::uint64_t number_of(const char *name, std::uint64_t otherwise)
{
	const char *text = std::getenv(name);
	return text && *text ? std::stoull(text) : otherwise;
}

/* Chosen anew by each run, so that runs do not all look at the same. */
std::uint64_t seed()
{
	static const std::uint64_t chosen = number_of("TORTURE_SEED", std::random_device{}());
	return chosen;
}

std::vector<outcome> &outcomes()
{
	static std::vector<outcome> all;
	return all;
}

class table_at_the_end : public ::testing::Environment {
public:
	void SetUp() override { kvmchan::raise_descriptor_limit(); }
	void TearDown() override { fmt::print("{}", table(outcomes())); }
};
const auto *const environment = ::testing::AddGlobalTestEnvironment(new table_at_the_end);

class torture_case : public harness::guest_case, public ::testing::WithParamInterface<kind> {
protected:
	void run(outcome &result)
	{
		rig r{[this](harness::guest_options options) -> harness::guest & { return boot(std::move(options)); }, result,
		      result.seed, GetParam().windows};
		r.await_traffic();
		const auto cycles = static_cast<unsigned>(number_of("TORTURE_CYCLES", GetParam().cycles));
		// What is made once has been made after the first ones.
		const unsigned warm = std::min(cycles / 2, 8U);
		for (result.cycles = 0; result.cycles < cycles; ++result.cycles) {
			if (result.cycles == warm)
				result.first = r.measure();
			GetParam().cycle(r);
		}
		result.last = r.measure();
		r.finish();
	}
};

TEST_P(torture_case, is_survived)
{
	outcome result{.kind = GetParam().name, .seed = seed()};
	try {
		run(result);
		EXPECT_EQ(leaks(result), "");
	} catch (const std::exception &e) {
		ADD_FAILURE() << e.what();
	}
	result.failed = HasFailure();
	if (result.failed)
		ADD_FAILURE() << fmt::format("in cycle {}; again: scripts/torture --kind {} --seed {} --cycles {}",
		                             result.cycles, result.kind, result.seed, result.cycles + 1);
	outcomes().push_back(std::move(result));
}

INSTANTIATE_TEST_SUITE_P(kinds, torture_case, ::testing::ValuesIn(kinds().begin(), kinds().end()), [](const auto &one) {
	std::string name = one.param.name;
	std::ranges::replace(name, '-', '_');
	return name;
});

} // namespace

} // namespace torture
