// SPDX-License-Identifier: MIT
// Words in the region that no honest peer would write.
#include "module_machine.hpp"

namespace {

using namespace module_test;

template <typename Flavour>
class module_hostile : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { module_hostile::share_both_sides(64 << 20, usual_slots(), true, {}, 128); }
};

TYPED_TEST_SUITE(module_hostile, flavours, flavour_names);

TYPED_TEST(module_hostile, words_end_one_session_and_no_more)
{
	this->run("hostile_words");
	auto &g = this->machine();
	g.wait_log("peer broke the protocol: producer index out of bounds");
	g.wait_log("peer broke the protocol: consumer index out of bounds");
	g.wait_log("peer broke the protocol: bad record");
}

} // namespace
