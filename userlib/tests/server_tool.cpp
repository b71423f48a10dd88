// SPDX-License-Identifier: MIT
// "kvmchan serve" as a program: its flags, also those of ivshmem-server.
#include "server_process.hpp"

#include <fstream>
#include <sstream>

#include <sys/mman.h>
#include <sys/stat.h>

#include "ivshmem_raw_client.hpp"

namespace kvmchan::testing {
namespace {

class server_tool : public ::testing::Test {
protected:
	std::vector<std::string> command(std::vector<std::string> words) const
	{
		words.insert(words.begin(), {KVMCHAN_TOOL, "serve"});
		return words;
	}

	std::string output() const
	{
		std::stringstream text;

		text << std::ifstream{directory_ / "output"}.rdbuf();
		return text.str();
	}

	int run(const std::vector<std::string> &words)
	{
		process tool{command(words), directory_ / "output"};

		return tool.wait();
	}

	pid_t pid_in(const std::filesystem::path &file) const
	{
		pid_t pid = -1;

		std::ifstream{file} >> pid;
		return pid;
	}

	/* A daemon's end is seen by its files: it is not our child. */
	bool end_daemon(const std::filesystem::path &pid_path) const
	{
		const pid_t pid = pid_in(pid_path);

		return pid > 1 && ::kill(pid, SIGTERM) == 0 && eventually([&] { return !std::filesystem::exists(pid_path); });
	}

	temporary_directory directory_;
	const std::string socket_ = (directory_ / "s").string();
	const std::string shm_ = "kvmchan-tool-" + std::to_string(::getpid());
};

/* As a script written for it would: in the background, with all of its flags. */
TEST_F(server_tool, ivshmem_server_flags_in_the_background)
{
	const std::string pid_path = (directory_ / "pid").string();

	ASSERT_EQ(run({"-v", "-p", pid_path, "-S", socket_, "-M", shm_, "-l", "1M", "-n", "3"}), 0) << output();
	/* It has returned: all is there. */
	EXPECT_TRUE(std::filesystem::exists("/dev/shm/" + shm_));
	EXPECT_EQ(std::filesystem::file_size("/dev/shm/" + shm_), 1U << 20);
	{
		raw_client client{socket_};
		const auto burst = client.take(6);

		ASSERT_EQ(burst.size(), 6U);
		EXPECT_EQ(burst[1].value(), 0);
		EXPECT_FALSE(client.next(50));
	}
	ASSERT_TRUE(end_daemon(pid_path));
	EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(socket_); }));
	EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + shm_));
}

TEST_F(server_tool, its_name_decides_too)
{
	process server{{KVMCHAN_TOOL, "-F", "-S", socket_, "-m", directory_.path().string(), "-l", "4M"},
	               directory_ / "output",
	               "/usr/local/bin/ivshmem-server"};

	ASSERT_TRUE(eventually([&] { return std::filesystem::exists(socket_) || !server.running(); }));
	raw_client client{socket_};
	const auto burst = client.take(4);
	struct stat st {};

	ASSERT_EQ(burst.size(), 4U) << output();
	ASSERT_EQ(::fstat(burst[2].fd, &st), 0);
	EXPECT_EQ(st.st_size, 4 << 20);
	server.signal(SIGTERM);
	EXPECT_EQ(server.wait(), 0);
	EXPECT_FALSE(std::filesystem::exists(socket_));
	EXPECT_EQ(output(), "");
}

TEST_F(server_tool, defaults_are_ivshmem_servers)
{
	EXPECT_EQ(run({"--help"}), 0);
	const std::string help = output();

	for (const char *part : {"/tmp/ivshmem_socket", "/var/run/ivshmem-server.pid", "=ivshmem", "=4M", "=1",
	                         "-h", "-v", "-F", "-p", "-S", "-M", "-m", "-l", "-n"})
		EXPECT_NE(help.find(part), std::string::npos) << part << "\n" << help;
}

TEST_F(server_tool, channels_from_flags_are_formatted_and_sealed)
{
	process server{command({"-F", "-S", socket_, "-l", "16M", "-n", "4", "--channel", "a:packet:8K", "--block", "m:1M",
	                        "--vm", "web:7"}),
	               directory_ / "output"};

	ASSERT_TRUE(eventually([&] { return server_answers(socket_) || !server.running(); }));
	const auto region = control_request(socket_ + ".ctl", {{"cmd", "status"}}, patience).at("region");

	EXPECT_EQ(region.at("sealed"), true);
	EXPECT_EQ(region.at("slots").size(), 2U);
	EXPECT_EQ(region.at("slots").at(0).at("mode"), "packet");
	EXPECT_EQ(region.at("vms").at(0).at("id"), 7);
	EXPECT_NE(output().find("vectors=4"), std::string::npos) << output();
	EXPECT_EQ(output().find("reconnect"), std::string::npos) << output();
	server.signal(SIGINT);
	EXPECT_EQ(server.wait(), 0);
}

TEST_F(server_tool, reload_by_signal_and_by_flag)
{
	const std::filesystem::path file = directory_ / "kvmchan.toml";
	const std::string head = "[[region]]\nname = \"r\"\nsize = \"1M\"\nsocket = \"" + socket_ + "\"\n";
	auto slots = [&] {
		return control_request(socket_ + ".ctl", {{"cmd", "status"}}, patience).at("region").at("slots").size();
	};

	std::ofstream{file} << head;
	process server{command({"-F", "-c", file.string()}), directory_ / "output"};

	ASSERT_TRUE(eventually([&] { return server_answers(socket_) || !server.running(); }));
	EXPECT_EQ(slots(), 0U);
	std::ofstream{file} << head << "[[region.channel]]\nname = \"a\"\nsize = 4096\n";
	server.signal(SIGHUP);
	EXPECT_TRUE(eventually([&] { return slots() == 1; }));
	std::ofstream{file} << head << "[[region.channel]]\nname = \"a\"\nsize = 4095\n";
	EXPECT_EQ(run({"--reload", "-c", file.string()}), 1);
	server.signal(SIGHUP);
	std::ofstream{file} << head;
	EXPECT_EQ(run({"--reload", "-c", file.string()}), 0) << output();
	EXPECT_EQ(slots(), 0U);
	EXPECT_TRUE(server.running()) << "a bad file ended it";
}

TEST_F(server_tool, mistakes_are_told_and_leave_nothing)
{
	EXPECT_EQ(run({"-F", "-S", socket_, "-l", "3M"}), 1);
	EXPECT_NE(output().find("power of two"), std::string::npos) << output();
	EXPECT_NE(run({"-F", "-S", socket_, "-l", "x"}), 0);
	EXPECT_NE(run({"-F", "-S", socket_, "-n", "0"}), 0);
	EXPECT_NE(run({"-F", "-S", socket_, "--channel", "a b"}), 0);
	EXPECT_NE(output().find("--channel a b"), std::string::npos) << output();
	EXPECT_NE(run({"-F", "-S", socket_, "--vm", "a:70000"}), 0);
	EXPECT_NE(run({"-F", "-S", (directory_ / "none/s").string()}), 0);
	EXPECT_NE(run({"-p", (directory_ / "none/pid").string(), "-S", socket_, "-M", shm_}), 0) << "in the background";
	EXPECT_FALSE(std::filesystem::exists(socket_));
	EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + shm_));
}

} // namespace
} // namespace kvmchan::testing
