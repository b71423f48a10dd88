// SPDX-License-Identifier: MIT
/*
 * The node as a file: open, read, write, sessions, records, ioctls, faults and
 * signals, with and without doorbells.
 */
#include "module_machine.hpp"

namespace {

using namespace module_test;

template <typename Flavour>
class module_files : public both_sides<Flavour> {
public:
	static void SetUpTestSuite() { module_files::share_both_sides(64 << 20, usual_slots(), false, {}, 128); }
};

TYPED_TEST_SUITE(module_files, flavours, flavour_names);

TYPED_TEST(module_files, open)
{
	this->run("file_open");
}

TYPED_TEST(module_files, transfer)
{
	this->run("file_transfer");
}

TYPED_TEST(module_files, sessions)
{
	this->run("file_sessions");
}

TYPED_TEST(module_files, packets)
{
	this->run("file_packets");
}

TYPED_TEST(module_files, mapped_rings)
{
	this->run("mapped_rings");
}

TYPED_TEST(module_files, ioctls)
{
	this->run("file_ioctls");
}

TYPED_TEST(module_files, faults)
{
	this->run("file_faults");
}

TYPED_TEST(module_files, signals)
{
	this->run("file_signals");
}

} // namespace
