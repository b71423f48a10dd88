// SPDX-License-Identifier: MIT
// Sleep and wake-up of the machine with files open.
#include "module_machine.hpp"

#include <gmock/gmock.h>

namespace {

using namespace module_test;

/* The two nodes of the only channel, in shell variables a (side 0) and b. */
constexpr const char *ends = "for n in /sys/class/kvmchan/*; do\n"
			     "	[ $(cat $n/side) = 0 ] && a=/dev/${n##*/} || b=/dev/${n##*/}\n"
			     "done\n";

class module_power : public guest_case, public ::testing::WithParamInterface<bool> {
protected:
	void SetUp() override
	{
		if (!guest_architecture().second_uart)
			GTEST_SKIP() << "a guest that sleeps talks over a second UART";
	}

	guest &boot_both_sides()
	{
		memory_ = std::make_unique<region>(dir() / "region", 4 << 20,
		                                   std::vector<slot_spec>{channel("sleepy", 4096)});
		guest_options options{
			.image = boot_image::bzimage, .control = control_port::serial, .shares = false};
		if (GetParam()) {
			server_ = std::make_unique<doorbell_server>(*memory_, dir().path(), 2);
			options.devices = {server_->device("side0"), server_->device("side1")};
		} else {
			options.devices = {memory_->plain("side0"), memory_->plain("side1")};
		}
		auto &g = boot(std::move(options));
		arrange_sides(g);
		return g;
	}

	/* Puts the machine to sleep under a blocked reader and writer. */
	template <typename Sleep>
	void sleep_with_open_files(guest &g, Sleep sleep)
	{
		const std::string prologue = ends;
		auto reader = g.spawn(prologue + "head -c 200000 $b | md5sum");
		auto writer = g.spawn(prologue + "exec >$a; head -c 100000 /dev/zero; read line; head -c 100000 /dev/zero");
		sleep();
		writer.write_stdin("go on\n");
		EXPECT_EQ(writer.wait().exit, 0);
		const auto expected = run_host({"sh", "-c", "head -c 200000 /dev/zero | md5sum"});
		EXPECT_EQ(reader.wait().out, expected.out);
	}

private:
	std::unique_ptr<region> memory_;
	std::unique_ptr<doorbell_server> server_;
};

TEST_P(module_power, suspend_to_ram)
{
	auto &g = boot_both_sides();
	for (int round = 0; round < 2; ++round)
		sleep_with_open_files(g, [&] {
			g.suspend();
			g.wake_up();
		});
}

/* Freezes all tasks and suspends all devices, and comes back by itself. */
TEST_P(module_power, suspend_to_idle_rehearsed)
{
	auto &g = boot_both_sides();
	for (const char *level : {"freezer", "devices"})
		sleep_with_open_files(g, [&] {
			g.check(fmt::format("echo 1 >/sys/module/suspend/parameters/pm_test_delay; "
			                    "echo {} >/sys/power/pm_test; echo freeze >/sys/power/state",
			                    level));
		});
}

INSTANTIATE_TEST_SUITE_P(, module_power, ::testing::Bool(), [](const auto &flavour) {
	return flavour.param ? "doorbell" : "plain";
});

} // namespace
