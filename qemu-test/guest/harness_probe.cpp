// SPDX-License-Identifier: MIT
/* Gives the harness's own tests something to import. */
#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include <unistd.h>

namespace {

bool told_to(std::string_view what)
{
	const char *text = std::getenv("HARNESS_PROBE");
	return text && text == what;
}

TEST(probe, runs_in_the_guest)
{
	EXPECT_EQ(access("/init", X_OK), 0);
}

TEST(probe, is_skipped)
{
	GTEST_SKIP() << "to see how a skipped test comes out";
}

TEST(probe, fails_on_demand)
{
	EXPECT_FALSE(told_to("fail")) << "was told to <fail>";
}

TEST(probe, crashes_on_demand)
{
	if (told_to("crash"))
		std::abort();
}

} // namespace
