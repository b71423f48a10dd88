// SPDX-License-Identifier: MIT
#include "guest_case.hpp"

namespace {

using namespace harness;

class harness_shared : public shared_guest_case {
public:
	static void SetUpTestSuite()
	{
		share({.devices = {suite_plain("first")}, .module = module_load::none});
	}
};

TEST_F(harness_shared, runs_commands)
{
	auto &g = shared();
	const auto r = g.run("echo out; echo err >&2; exit 7");
	EXPECT_EQ(r.exit, 7);
	EXPECT_EQ(r.out, "out\n");
	EXPECT_EQ(r.err, "err\n");
}

} // namespace
