// SPDX-License-Identifier: MIT
#include "io_thread.hpp"
#include "time_limit.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <csignal>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

std::string command_line_of(const std::string &pid)
{
	std::ifstream in{"/proc/" + pid + "/cmdline"};
	std::string words{std::istreambuf_iterator<char>{in}, {}};
	for (char &c : words)
		c = c ? c : ' ';
	return words;
}

std::vector<std::string> children()
{
	std::vector<std::string> pids;
	for (const auto &task : fs::directory_iterator{"/proc/self/task"}) {
		std::ifstream in{task.path() / "children"};
		pids.insert(pids.end(), std::istream_iterator<std::string>{in}, {});
	}
	return pids;
}

/*
 * This process adopts what its children leave behind (it is a subreaper), so
 * whatever is still there after all tests has leaked.
 */
class no_process_stays : public ::testing::Environment {
public:
	void SetUp() override { prctl(PR_SET_CHILD_SUBREAPER, 1); }
	void TearDown() override
	{
		// One that was killed may need a moment to die.
		const auto deadline = harness::deadline_after(std::chrono::seconds{2});
		while (waitpid(-1, nullptr, WNOHANG) >= 0 && harness::clock::now() < deadline)
			usleep(10'000);
		for (const auto &pid : children()) {
			ADD_FAILURE() << "left behind: " << pid << ' ' << command_line_of(pid);
			kill(std::stoi(pid), SIGKILL);
		}
	}
};

} // namespace

int main(int argc, char **argv)
{
	// Before gtest reads it: the report of the case `x` is qemu-x.xml.
	const char *results = std::getenv("KVMCHAN_TEST_RESULTS");
	if (results && *results && !std::getenv("GTEST_OUTPUT")) {
		const auto file = fs::path{results} / (fs::path{argv[0]}.filename().string() + ".xml");
		setenv("GTEST_OUTPUT", ("xml:" + file.string()).c_str(), 1);
	}
	::testing::InitGoogleTest(&argc, argv);
	harness::io();
	::testing::AddGlobalTestEnvironment(new no_process_stays);
	return RUN_ALL_TESTS();
}
