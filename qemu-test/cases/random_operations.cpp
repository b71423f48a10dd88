// SPDX-License-Identifier: MIT
/*
 * Any file operation by many threads, while devices come and go; and the same
 * while somebody on the host writes over every word that the region has.
 *
 * The amounts of guest/random_operations.cpp can be set in the environment.
 */
#include "module_machine.hpp"
#include "scribbler.hpp"

#include <cstdlib>

namespace {

using namespace module_test;

/* Few nodes, so that both sides of a channel are open often. */
std::vector<slot_spec> few_slots()
{
	return {channel("stream", 64 << 10), channel("small", 4 << 10), channel("asym", 4 << 10, 64 << 10),
	        packets("packet4k", 4 << 10), block("block", 64 << 10)};
}

template <typename Flavour>
class random_operations : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { random_operations::share_both_sides(4 << 20, few_slots()); }

protected:
	/* The manager writes anew what it knows; what peers wrote does not count. */
	void mend_table()
	{
		this->memory()->table().announce(false);
		if (this->server()) {
			EXPECT_TRUE(this->server()->process().running());
		}
	}

	void run_program(const std::string &filter)
	{
		command program{"random_operations"};
		milliseconds minutes{0};
		program.argv.push_back("--gtest_filter=*." + filter);
		for (const char *name : {"operations", "operation_threads", "operation_minutes", "operation_seed"}) {
			if (const char *value = std::getenv(name))
				program.env[name] = value;
		}
		if (program.env.contains("operation_minutes"))
			minutes = std::chrono::minutes{std::stoul(program.env["operation_minutes"])};
		fmt::print("{}", run_guest_tests(this->machine(), program, nominal::program + minutes).run.out);
	}
};

TYPED_TEST_SUITE(random_operations, flavours, flavour_names);

TYPED_TEST(random_operations, leave_a_machine_that_works)
{
	this->run_program("come_back");
	this->run_program("leave_a_machine_that_works");
}

TYPED_TEST(random_operations, and_a_host_that_scribbles_leave_a_machine_that_works)
{
	{
		const char *seed = std::getenv("operation_seed");
		const scribbler hostile{*this->memory(), seed ? std::stoull(seed) : 1};
		this->run_program("come_back");
		fmt::print("{} stores of the host into the region\n", hostile.stores());
	}
	this->mend_table();
	this->run_program("leave_a_machine_that_works");
}

} // namespace
