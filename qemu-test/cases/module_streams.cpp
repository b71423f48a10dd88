// SPDX-License-Identifier: MIT
// Much data, by every way that bytes can go: random sizes, splice, io_uring.
#include "module_machine.hpp"

namespace {

using namespace module_test;

template <typename Flavour>
class module_streams : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { module_streams::share_both_sides(64 << 20, usual_slots(), false, {}, 128); }
};

TYPED_TEST_SUITE(module_streams, flavours, flavour_names);

TYPED_TEST(module_streams, of_random_sizes)
{
	this->run("bulk_random");
}

TYPED_TEST(module_streams, by_splice_and_io_uring)
{
	this->run("pass_through");
}

} // namespace
