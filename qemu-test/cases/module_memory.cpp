// SPDX-License-Identifier: MIT
// Named blocks of shared memory, over large and small BARs.
#include "module_machine.hpp"

#include <gmock/gmock.h>

namespace {

using namespace module_test;

template <typename Flavour>
class module_memory : public both_sides<Flavour> {
public:
	static void SetUpTestSuite()
	{
		module_memory::share_both_sides(4 << 20, {block("block", 1 << 20), block("page", 4 << 10)});
	}
};

TYPED_TEST_SUITE(module_memory, flavours, flavour_names);

TYPED_TEST(module_memory, slots)
{
	this->run("memory_slots");
}

} // namespace
