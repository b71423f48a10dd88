// SPDX-License-Identifier: MIT
// poll and epoll in every state, at the edge and over many channels.
#include "module_machine.hpp"

namespace {

using namespace module_test;

template <typename Flavour>
class module_poll : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { module_poll::share_both_sides(64 << 20, usual_slots(), false, {}, 128); }
};

TYPED_TEST_SUITE(module_poll, flavours, flavour_names);

TYPED_TEST(module_poll, states)
{
	this->run("poll_states");
}

TYPED_TEST(module_poll, edges)
{
	// A million records by doorbell; without doorbells each wake-up is a turn
	// of the timer, and a tenth of them already takes as long.
	if (!TypeParam::doorbell)
		this->machine().check("mkdir -p /tmp/amounts; echo 100000 >/tmp/amounts/edge_records");
	this->run("poll_edge");
}

TYPED_TEST(module_poll, many)
{
	this->run("poll_many");
}

TYPED_TEST(module_poll, rings)
{
	if (TypeParam::doorbell)
		this->run("rings");
}

} // namespace
