// SPDX-License-Identifier: MIT
// libkvmchan in a guest: blocking, level- and edge-triggered, by bell and by polling.
#include "module_machine.hpp"

namespace {

using namespace module_test;

template <typename Flavour>
class library : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { library::share_both_sides(64 << 20, usual_slots(), true, {}, 128); }
};

TYPED_TEST_SUITE(library, flavours, flavour_names);

TYPED_TEST(library, ends_in_a_guest)
{
	this->run("library_end");
}

TYPED_TEST(library, ends_with_mapped_rings)
{
	this->run("mapped_library");
}

} // namespace
