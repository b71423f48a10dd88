// SPDX-License-Identifier: MIT
/*
 * The harness tested by itself: what it promises to cases, and that it notices
 * what it promises to notice.
 */
#include "architecture.hpp"
#include "boot_files.hpp"
#include "call_sites.hpp"
#include "guest_case.hpp"
#include "log_scan.hpp"
#include "region_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

using namespace harness;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

/* The sizes of BAR2 of all ivshmem devices, and where they are. */
constexpr const char *ivshmem_bars =
	"for d in /sys/bus/pci/devices/*; do "
	"[ $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 ] && sed -n 3p $d/resource; "
	"done; true";

class harness_commands : public shared_guest_case {
public:
	static void SetUpTestSuite() { share({.module = module_load::none}); }
};

TEST_F(harness_commands, give_output_and_exit_status)
{
	const auto r = shared().run("echo out; echo err >&2; exit 7");
	EXPECT_EQ(r.exit, 7);
	EXPECT_EQ(r.signal, 0);
	EXPECT_EQ(r.out, "out\n");
	EXPECT_EQ(r.err, "err\n");
}

TEST_F(harness_commands, pass_words_and_environment_unchanged)
{
	command words{"printf", "%s|", "a b", "$HOME", "", "*"};
	EXPECT_EQ(shared().check(words), "a b|$HOME||*|");
	command script{"echo $COLOUR"};
	script.env["COLOUR"] = "light blue";
	EXPECT_EQ(shared().check(script), "light blue\n");
}

TEST_F(harness_commands, that_cannot_start_exit_with_127)
{
	const auto r = shared().run({"/no/such/program", "x"});
	EXPECT_EQ(r.exit, 127);
	EXPECT_THAT(r.err, HasSubstr("/no/such/program"));
	EXPECT_THROW(shared().check({"false", ""}), error);
}

TEST_F(harness_commands, carry_much_data_both_ways)
{
	command copy{"cat"};
	for (int i = 0; copy.input.size() < 3'000'000; ++i)
		copy.input += std::to_string(i) + '\n';
	const auto r = shared().run(copy);
	EXPECT_EQ(r.exit, 0);
	EXPECT_TRUE(r.out == copy.input) << r.out.size() << " bytes of " << copy.input.size();
}

TEST_F(harness_commands, run_at_the_same_time)
{
	auto &g = shared();
	auto a = g.spawn("read line; echo a:$line");
	auto b = g.spawn("read line; echo b:$line");
	b.write_stdin("two\n");
	EXPECT_EQ(b.wait().out, "b:two\n");
	EXPECT_TRUE(a.running());
	a.write_stdin("one\n");
	EXPECT_EQ(a.wait().out, "a:one\n");
}

TEST_F(harness_commands, stream_their_output)
{
	auto c = shared().spawn("echo ready; read line; echo more");
	c.wait_output("ready");
	EXPECT_EQ(c.read(), "ready\n");
	EXPECT_FALSE(c.wait_for(0ms));
	c.write_stdin("go\n");
	c.wait();
	EXPECT_EQ(c.read(), "more\n");
}

TEST_F(harness_commands, that_do_not_read_block_nobody)
{
	auto c = shared().spawn("sleep 1000");
	c.write_stdin(std::string(200'000, 'x'));
	EXPECT_EQ(shared().check("echo fine"), "fine\n");
	c.kill9();
	EXPECT_EQ(c.wait().signal, SIGKILL);
}

TEST_F(harness_commands, receive_signals)
{
	auto c = shared().spawn("trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done");
	c.wait_output("ready");
	c.signal(SIGUSR1);
	const auto r = c.wait();
	EXPECT_EQ(r.exit, 3);
	EXPECT_THAT(r.out, HasSubstr("got it"));
}

TEST_F(harness_commands, that_hang_meet_their_limit)
{
	auto &g = shared();
	try {
		g.run("echo before; sleep 4321", 500ms);
		FAIL() << "the limit did not throw";
	} catch (const deadline_error &e) {
		EXPECT_THAT(e.what(), HasSubstr("did not end in time"));
		EXPECT_THAT(e.what(), HasSubstr("before"));
		EXPECT_THAT(e.what(), HasSubstr("--- kernel log ---"));
	}
	// It is killed, and the guest works on.
	g.check("while pgrep -f 'sleep 4321' >/dev/null; do sleep 0.05; done");
}

TEST_F(harness_commands, leave_no_zombies)
{
	auto &g = shared();
	g.check("(sleep 0.1 &) ; true");
	g.check("while pgrep '^sleep$' >/dev/null; do sleep 0.05; done");
	EXPECT_EQ(g.check("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true"), "");
}

TEST_F(harness_commands, exchange_files)
{
	auto &g = shared();
	const std::string bytes{"a\0b\xff\n", 5};
	g.put_file("/tmp/there", bytes, 0751);
	EXPECT_EQ(g.fetch_file("/tmp/there"), bytes);
	EXPECT_EQ(g.check("stat -c %a /tmp/there"), "751\n");
	EXPECT_THROW(g.fetch_file("/tmp/not-there"), error);
}

TEST_F(harness_commands, see_the_shared_directory)
{
	auto &g = shared();
	std::ofstream{g.share() / "from-host"} << "hello guest";
	EXPECT_EQ(g.check("cat /share/from-host"), "hello guest");
	g.check("echo hello host >/share/from-guest");
	std::ifstream in{g.share() / "from-guest"};
	std::string line;
	std::getline(in, line);
	EXPECT_EQ(line, "hello host");
}

TEST_F(harness_commands, see_the_host_read_only)
{
	auto &g = shared();
	if (guest_architecture().is_of_host) {
		EXPECT_EQ(g.run(guest::host_program("/usr/bin/env", {"echo", "from the host"})).out,
		          "from the host\n");
	}
	EXPECT_EQ(g.run("test -x /host/usr/bin/env").exit, 0);
	EXPECT_NE(g.run("touch /host/tmp/kvmchan-must-not-exist").exit, 0);
}

TEST_F(harness_commands, have_two_cpus)
{
	EXPECT_EQ(shared().check("nproc"), "2\n");
}

/* ---- programs in the guest ---- */

class results_directory {
public:
	results_directory() { setenv("KVMCHAN_TEST_RESULTS", dir_.path().c_str(), 1); }
	~results_directory()
	{
		if (before_.empty())
			unsetenv("KVMCHAN_TEST_RESULTS");
		else
			setenv("KVMCHAN_TEST_RESULTS", before_.c_str(), 1);
	}
	results_directory(const results_directory &) = delete;
	results_directory &operator=(const results_directory &) = delete;

	std::string report(std::string_view name) const
	{
		std::ifstream in{dir_ / name};
		return {std::istreambuf_iterator<char>{in}, {}};
	}

private:
	static std::string now()
	{
		const char *text = std::getenv("KVMCHAN_TEST_RESULTS");
		return text ? text : "";
	}
	std::string before_ = now();
	temp_dir dir_;
};

TEST_F(harness_commands, import_the_tests_of_a_guest_program)
{
	const results_directory results;
	const auto report = run_guest_tests(shared(), "harness_probe");
	EXPECT_EQ(report.tests, 4);
	EXPECT_EQ(report.skipped, 1);
	EXPECT_EQ(report.failures, 0);
	EXPECT_THAT(results.report("guest-harness_probe.xml"), HasSubstr("runs_in_the_guest"));
}

TEST_F(harness_commands, import_the_failures_of_a_guest_program)
{
	const results_directory results;
	command failing{"harness_probe"};
	failing.env["HARNESS_PROBE"] = "fail";
	guest_test_report report;
	EXPECT_NONFATAL_FAILURE(report = run_guest_tests(shared(), failing), "was told to <fail>");
	EXPECT_EQ(report.failures, 1);
	EXPECT_THAT(results.report("guest-harness_probe.xml"), HasSubstr("was told to &lt;fail&gt;"));

	command crashing{"harness_probe"};
	crashing.env["HARNESS_PROBE"] = "crash";
	EXPECT_NONFATAL_FAILURE(run_guest_tests(shared(), crashing), "wrote no report");
	EXPECT_THAT(results.report("guest-harness_probe.xml"), HasSubstr("errors=\"1\""));

	EXPECT_NONFATAL_FAILURE(run_guest_tests(shared(), {"harness_probe", "--gtest_filter=none"}),
	                        "ran no test");
	EXPECT_NONFATAL_FAILURE(run_guest_tests(shared(), "no_such_program"), "exited with 127");
}

/* ---- the kernel log ---- */

TEST_F(harness_commands, bring_the_kernel_log)
{
	auto &g = shared();
	g.check("echo marker-4711 >/dev/kmsg");
	g.sync_logs();
	EXPECT_THAT(g.dmesg(), HasSubstr("] marker-4711\n"));
	EXPECT_THAT(g.dmesg(), HasSubstr("Linux version"));
}

TEST_F(harness_commands, accept_a_declared_complaint)
{
	expect_log("WARNING: planted [0-9]+$");
	shared().check("echo 'WARNING: planted 12' >/dev/kmsg");
}

TEST(call_sites, are_found_in_the_module)
{
	if (!guest_architecture().is_pc)
		GTEST_SKIP() << "reads the calls of x86";
	const auto sites = call_sites(module_file(), {"cdev_device_add", "no_such_function"});
	ASSERT_THAT(sites, SizeIs(1));
	EXPECT_THAT(sites.begin()->first, StartsWith("kvmchan_channel_add+0x"));
	EXPECT_EQ(sites.begin()->second, "cdev_device_add");
	EXPECT_THROW(call_sites("/nonexistent", {"kfree"}), error);
}

TEST(log_scan, finds_complaints)
{
	EXPECT_THAT(kernel_complaints("[ 1.0] WARNING: CPU: 0 PID: 1 at a.c:1\r\n"
	                              "[ 1.1] all is fine\n"
	                              "[ 1.2] BUG: sleeping function called"), SizeIs(2));
	EXPECT_THAT(kernel_complaints("[ 0.1] Kernel command line: oops=panic WARNING:\n"
	                              "[ 0.2] kvmchan 0000:00:03.0: ready\n"), IsEmpty());
	EXPECT_THAT(kernel_complaints("workqueue: work func kvmchan_table_work [kvmchan] enqueued on deprecated workqueue. Use"), SizeIs(1));
	EXPECT_THAT(kernel_complaints("workqueue: work func f [virtio_net] enqueued on deprecated workqueue. Use"), IsEmpty());
	EXPECT_THAT(kernel_complaints("INFO: task sh:7 blocked for more than 120 seconds."), SizeIs(1));
	EXPECT_THAT(kernel_complaints("rcu: INFO: rcu_preempt detected stalls on CPUs"), SizeIs(1));
	EXPECT_THAT(kernel_complaints("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"), SizeIs(1));
	EXPECT_THAT(kernel_complaints("WARNING: possible circular locking dependency"), SizeIs(1));
	const std::string race = "[ 2.0] BUG: KCSAN: data-race in tick_irq_enter / tick_nohz_idle_got_tick\n"
	                         "[ 2.0] \n[ 2.0] write to 0x1 of 8 bytes by interrupt on cpu 1:\n";
	EXPECT_THAT(kernel_complaints(race + "[ 2.0]  tick_irq_enter+0x3c/0x100\n[ 2.0] ========\n[ 2.1] kvmchan: up\n"), IsEmpty());
	EXPECT_THAT(kernel_complaints(race + "[ 2.0]  kvmchan_irq+0x3c/0x100 [kvmchan]\n[ 2.0] ========\n"), SizeIs(1));
	EXPECT_THAT(kernel_complaints("[ 2.0] BUG: KCSAN: data-race in __x64_sys_fcntl / fasync_insert_entry\n"
	                              "[ 2.0]  kvmchan_fasync+0x3c/0x100 [kvmchan]\n[ 2.0] ========\n"),
	            IsEmpty());
	EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc\n");
	EXPECT_EQ(last_lines("a", 2), "a");
}

/* ---- what must turn a test red, run by harness_verdict below ---- */

class harness_must_fail : public guest_case {};

TEST_F(harness_must_fail, DISABLED_on_a_kernel_warning)
{
	boot({.module = module_load::none}).check("echo 'WARNING: planted' >/dev/kmsg");
}

TEST_F(harness_must_fail, DISABLED_on_a_panic)
{
	boot({.module = module_load::none}).check("echo c >/proc/sysrq-trigger; sleep 1000");
}

TEST_F(harness_must_fail, DISABLED_on_a_missing_complaint)
{
	expect_log("WARNING: this never comes");
	boot({.module = module_load::none});
}

TEST_F(harness_must_fail, DISABLED_on_a_process_left_behind)
{
	host_process shell{{"sh", "-c", "setsid sh -c 'echo started; exec sleep 1000' & cat"}};
	shell.wait_output("started");
	shell.close_stdin();
	shell.wait();
}

result run_this_program(const std::string &test)
{
	return run_host({"/proc/self/exe", "--gtest_also_run_disabled_tests",
	                 "--gtest_filter=harness_must_fail.DISABLED_" + test, "--gtest_output="});
}

TEST(harness_verdict, is_failure_on_a_kernel_warning)
{
	const auto r = run_this_program("on_a_kernel_warning");
	EXPECT_EQ(r.exit, 1);
	EXPECT_THAT(r.out, HasSubstr("the kernel complained"));
	EXPECT_THAT(r.out, HasSubstr("WARNING: planted"));
}

TEST(harness_verdict, is_failure_with_the_console_on_a_panic)
{
	const auto r = run_this_program("on_a_panic");
	EXPECT_EQ(r.exit, 1);
	EXPECT_THAT(r.out, HasSubstr("the guest ended"));
	EXPECT_THAT(r.out, HasSubstr("Kernel panic - not syncing: sysrq triggered crash"));
	EXPECT_THAT(r.out, HasSubstr("the kernel complained"));
}

TEST(harness_verdict, is_failure_on_a_missing_complaint)
{
	EXPECT_EQ(run_this_program("on_a_missing_complaint").exit, 1);
}

TEST(harness_verdict, is_failure_on_a_process_left_behind)
{
	const auto r = run_this_program("on_a_process_left_behind");
	EXPECT_EQ(r.exit, 1);
	EXPECT_THAT(r.out, HasSubstr("left behind"));
	EXPECT_THAT(r.out, HasSubstr("sleep 1000"));
}

/* ---- machines ---- */

class harness_machines : public guest_case {};

TEST_F(harness_machines, have_plain_shared_memory)
{
	auto device = plain("region", 4 << 20);
	auto &g = boot({.devices = {device}, .module = module_load::none});
	// virt has room for it above only.
	if (guest_architecture().is_pc) {
		EXPECT_THAT(g.check(ivshmem_bars), StartsWith("0x00000000")) << "not below 4 GiB";
	}
	EXPECT_EQ(g.check("cat /sys/bus/pci/devices/*/device | grep -c 0x1110"), "1\n");
	// The bytes of the BAR are those of the file.
	std::ofstream{device.memory, std::ios::in | std::ios::out} << "1234";
	const auto bar = g.check(ivshmem_bars);
	const auto address = bar.substr(0, bar.find(' '));
	EXPECT_EQ(g.check("devmem " + address + " 32"), "0x34333231\n");
}

TEST_F(harness_machines, can_have_their_bars_above_4g)
{
	auto &g = boot({.devices = {plain("region")}, .module = module_load::none, .bars_above_4g = true});
	const auto bar = g.check(ivshmem_bars);
	EXPECT_THAT(bar, StartsWith("0x"));
	EXPECT_THAT(bar, Not(StartsWith("0x00000000"))) << "not above 4 GiB";
}

TEST_F(harness_machines, plug_and_unplug_while_they_run)
{
	auto &g = boot({.root_ports = {{.id = "rp1"}}, .module = module_load::none});
	EXPECT_EQ(g.check(ivshmem_bars), "");
	for (int round = 0; round < 2; ++round) {
		auto device = plain("hot" + std::to_string(round));
		device.bus = "rp1";
		g.hotplug(device);
		g.check("while ! grep -q 0x1110 /sys/bus/pci/devices/*/device; do sleep 0.05; done");
		EXPECT_THAT(g.check(ivshmem_bars), StartsWith("0x"));
		g.unplug(device.id);
		EXPECT_EQ(g.check(ivshmem_bars), "");
	}
	EXPECT_THROW(g.qmp("device_del", {{"id", "nonsense"}}), qmp_error);
}

TEST_F(harness_machines, have_doorbells)
{
	region_server server;
	auto &g = boot({.devices = {server.device("bell"), plain("mute")},
	                .root_ports = {{.id = "rp1"}},
	                .module = module_load::none});
	const std::string count_bells = "n=0; for d in /sys/bus/pci/devices/*; do "
	                                "grep -q 0x1110 $d/device && [ -e $d/resource1 ] && n=$((n + 1)); "
	                                "done; echo $n";
	// Only the doorbell flavour has BAR1, the MSI-X table.
	EXPECT_EQ(g.check(count_bells), "1\n");
	auto second = server.device("second");
	second.bus = "rp1";
	g.hotplug(second);
	g.check("while [ $(" + count_bells + ") != 2 ]; do sleep 0.05; done");
	g.unplug("second");
	EXPECT_EQ(g.check(count_bells), "1\n");
	g.shutdown();
	server.stop();
}

TEST_F(harness_machines, pause_and_reset)
{
	auto &g = boot({.module = module_load::none});
	g.check("touch /tmp/before");
	auto lost = g.spawn("sleep 1000");
	g.pause();
	EXPECT_EQ(g.qmp("query-status")["status"], "paused");
	g.resume();
	g.check("test -f /tmp/before");
	g.reset();
	EXPECT_THROW(lost.wait(), guest_gone);
	EXPECT_EQ(g.run("test -f /tmp/before").exit, 1);
}

TEST_F(harness_machines, migrate)
{
	auto device = plain("region");
	device.master = true;
	auto &source = boot({.devices = {device}, .module = module_load::none, .shares = false});
	source.check("touch /tmp/before");
	auto lost = source.spawn("sleep 1000");
	auto &g = migrate(source);
	EXPECT_FALSE(source.running());
	EXPECT_THROW(lost.wait(), guest_gone);
	EXPECT_EQ(g.run("test -f /tmp/before").exit, 0);
	g.reset();
	EXPECT_EQ(g.run("test -f /tmp/before").exit, 1);
}

TEST_F(harness_machines, sleep_and_wake_up)
{
	if (!guest_architecture().second_uart)
		GTEST_SKIP() << "a guest that sleeps talks over a second UART";
	auto &g = boot({.module = module_load::none,
	                .image = boot_image::bzimage,
	                .control = control_port::serial,
	                .shares = false});
	for (int round = 0; round < 2; ++round) {
		g.suspend();
		EXPECT_EQ(g.qmp("query-status")["status"], "suspended");
		g.wake_up();
	}
	EXPECT_EQ(g.check("echo works"), "works\n");
}

TEST_F(harness_machines, may_be_killed)
{
	auto &g = boot({.module = module_load::none});
	auto running = g.spawn("sleep 1000");
	const auto pid = g.qemu_pid();
	g.kill9();
	EXPECT_FALSE(g.running());
	EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(pid)));
	EXPECT_THROW(running.wait(), guest_gone);
	EXPECT_THROW(g.run("true"), guest_gone);
	EXPECT_THROW(g.qmp("query-status"), guest_gone);
}

TEST_F(harness_machines, end_by_themselves)
{
	auto &g = boot({.module = module_load::none});
	g.spawn("poweroff -f");
	EXPECT_EQ(g.wait_exit(), 0);
}

TEST_F(harness_machines, boot_the_bzimage)
{
	auto &g = boot({.cpus = 1, .module = module_load::none, .image = boot_image::bzimage});
	EXPECT_EQ(g.check("nproc"), "1\n");
}

TEST_F(harness_machines, with_a_wrong_word_for_qemu_tell_it)
{
	try {
		boot({.qemu_args = {"-no-such-option"}, .module = module_load::none});
		FAIL() << "QEMU cannot have started";
	} catch (const guest_gone &e) {
		EXPECT_THAT(e.what(), HasSubstr("-no-such-option: invalid option"));
	}
}

TEST_F(harness_machines, load_and_unload_the_module)
{
	auto &g = boot({.devices = {plain("region")}});
	EXPECT_EQ(g.run("grep -q ^kvmchan /proc/modules").exit, 0);
	g.unload_module();
	EXPECT_EQ(g.run("grep -q ^kvmchan /proc/modules").exit, 1);
	g.load_module();
	// And TearDown() unloads it again.
}

TEST_F(harness_machines, give_a_shell)
{
	if (!guest_architecture().is_of_host)
		GTEST_SKIP() << "guest-shell boots what this machine is";
	host_process shell{{source_directory() / "scripts/guest-shell", "--no-module", "--build",
	                    build_directory(), "--share", dir().path()}};
	shell.wait_output("/ # ", nominal::boot);
	shell.write_stdin("echo 6*7=$((6*7)) >/share/out; ls /sys/bus/pci/drivers\n");
	shell.wait_output("virtio-pci");
	shell.write_stdin("exit\n");
	EXPECT_EQ(shell.wait().exit, 0);
	std::ifstream in{dir() / "out"};
	std::string line;
	std::getline(in, line);
	EXPECT_EQ(line, "6*7=42");
}

/* ---- processes on the host ---- */

TEST(host_process, gives_output_and_status)
{
	const auto r = run_host({"sh", "-c", "echo out; echo err >&2; exit 9"});
	EXPECT_EQ(r.exit, 9);
	EXPECT_EQ(r.out, "out\n");
	EXPECT_EQ(r.err, "err\n");
	EXPECT_THROW(run_host({"/no/such/program"}), error);
}

TEST(host_process, loses_no_output_at_its_end)
{
	// More than once: what comes last races with the news of the end.
	for (int round = 0; round < 300; ++round) {
		const auto r = run_host({"sh", "-c", "seq 3000; echo last"});
		ASSERT_EQ(r.out.size(), 13893 + 5U) << "round " << round;
		ASSERT_TRUE(r.out.ends_with("3000\nlast\n"));
	}
}

TEST(host_process, takes_input_and_streams_output)
{
	host_process cat{{"cat"}};
	cat.write_stdin("first\n");
	cat.wait_output("first");
	cat.write_stdin("last\n");
	cat.close_stdin();
	EXPECT_EQ(cat.wait().out, "first\nlast\n");
}

TEST(host_process, can_be_stopped_and_killed)
{
	host_process sleeper{{"sleep", "1000"}};
	sleeper.stop();
	std::ifstream stat{"/proc/" + std::to_string(sleeper.pid()) + "/stat"};
	std::string pid, name, state;
	stat >> pid >> name >> state;
	EXPECT_EQ(state, "T");
	sleeper.cont();
	EXPECT_TRUE(sleeper.running());
	sleeper.kill9();
	EXPECT_FALSE(sleeper.running());
	EXPECT_EQ(sleeper.wait().signal, SIGKILL);
}

TEST(host_process, that_does_not_end_meets_its_limit)
{
	host_process sleeper{{"sh", "-c", "echo waiting; sleep 1000"}};
	sleeper.wait_output("waiting");
	EXPECT_FALSE(sleeper.wait_for(10ms));
	try {
		sleeper.wait(10ms);
		FAIL() << "the limit did not throw";
	} catch (const deadline_error &e) {
		EXPECT_THAT(e.what(), HasSubstr("waiting"));
	}
}

} // namespace
