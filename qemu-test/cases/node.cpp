// SPDX-License-Identifier: MIT
/*
 * The module and its nodes as a shell sees them, over a plain device.
 */
#include "guest_case.hpp"
#include "manager.hpp"
#include "memory.hpp"

#include <gmock/gmock.h>

namespace {

using namespace harness;
using ::testing::HasSubstr;

class node : public shared_guest_case {
public:
	static void SetUpTestSuite()
	{
		share({.devices = {suite_plain("region", 4 << 20)}});
	}
};

TEST_F(node, probe)
{
	auto &g = shared();
	std::cerr << g.check("dmesg | tail -20; ls -l /dev/kvmchan*; ls /sys/class/kvmchan; grep . /sys/bus/pci/drivers/kvmchan/*/ivshmem/* 2>/dev/null; true");
}

} // namespace
