// SPDX-License-Identifier: MIT
// What a server that serves cannot do any more, and what it still can.
#include "server_successor.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include <spdlog/sinks/ostream_sink.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "ivshmem_raw_client.hpp"
#include "landlock.hpp"
#include "sandbox.hpp"

namespace kvmchan::testing {
namespace {

/* The value of a line of /proc/PID/status. */
std::string status_of(pid_t pid, const std::string &key)
{
	std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};

	for (std::string line; std::getline(file, line);)
		if (line.starts_with(key + ":"))
			return line.substr(line.find_first_not_of(" \t", key.size() + 1));
	return "no " + key;
}

/* ---- from within ---- */

class sandbox_inside : public ::testing::Test {
protected:
	sandbox_inside()
	{
		region_config region;

		region.socket = inside_ / "s";
		config_.regions.push_back(region);
		std::ofstream{inside_ / "file"} << "mine";
		std::ofstream{outside_ / "file"} << "others'";
	}

	/* The wait status of a child that enters the sandbox and does @p action; it ends with what that returns. */
	template <typename Action>
	int confined(int landlock_version, Action action)
	{
		const pid_t child = ::fork();
		int status = -1;

		if (child == 0) {
			spdlog::set_default_logger(std::make_shared<spdlog::logger>(
				"test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_, true)));
			sandbox box{config_, "", "", "/usr/sbin/kvmchan"};

			box.enter(landlock_version);
			::_exit(action());
		}
		::waitpid(child, &status, 0);
		return status;
	}

	/* The error of @p call there; 0: it has none. */
	template <typename Call>
	int error_of(Call call, int landlock_version = landlock::abi())
	{
		const int status = confined(landlock_version, [&] { return call() < 0 ? errno : 0; });

		return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	}

	int error_of_open(const std::filesystem::path &path, int flags, int landlock_version = landlock::abi())
	{
		return error_of([&] { return ::open(path.c_str(), flags, 0600); }, landlock_version);
	}

	temporary_directory inside_, outside_;
	server_config config_;
	std::ostringstream log_;
};

TEST_F(sandbox_inside, files_outside_are_out_of_reach)
{
	if (landlock::abi() == 0)
		GTEST_SKIP() << "this kernel has no Landlock";
	for (int version = 1; version <= landlock::abi(); ++version) {
		EXPECT_EQ(error_of_open(outside_ / "file", O_RDONLY, version), EACCES) << version;
		EXPECT_EQ(error_of_open(outside_ / "file", O_WRONLY, version), EACCES) << version;
		EXPECT_EQ(error_of_open(outside_ / "new", O_RDWR | O_CREAT, version), EACCES) << version;
		EXPECT_EQ(error_of_open("/", O_RDONLY | O_DIRECTORY, version), EACCES) << version;
		EXPECT_EQ(error_of([&] { return ::unlink((outside_ / "file").c_str()); }, version), EACCES) << version;
		EXPECT_EQ(error_of_open(inside_ / "file", O_RDWR, version), 0) << version;
		EXPECT_EQ(error_of_open(inside_ / ("new" + std::to_string(version)), O_RDWR | O_CREAT, version), 0) << version;
	}
	EXPECT_EQ(error_of([&] { return ::mkdir((inside_ / "directory").c_str(), 0700); }), EPERM);
	EXPECT_EQ(error_of([&] { return ::unlink((inside_ / "file").c_str()); }), 0);
}

TEST_F(sandbox_inside, another_program_is_not_run)
{
	if (landlock::abi() == 0)
		GTEST_SKIP() << "this kernel has no Landlock";
	EXPECT_EQ(error_of([] { return ::execl("/bin/true", "true", nullptr); }), EACCES);
	std::filesystem::copy("/bin/true", inside_ / "program");
	EXPECT_EQ(error_of([&] { return ::execl((inside_ / "program").c_str(), "true", nullptr); }), EACCES)
		<< "what it may write it must not run";
}

TEST_F(sandbox_inside, sockets_are_local)
{
	EXPECT_EQ(error_of([] { return ::socket(AF_INET, SOCK_STREAM, 0); }), EPERM);
	EXPECT_EQ(error_of([] { return ::socket(AF_INET6, SOCK_DGRAM, 0); }), EPERM);
	EXPECT_EQ(error_of([] { return ::socket(AF_NETLINK, SOCK_RAW, 0); }), EPERM);
	EXPECT_EQ(error_of([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }), 0);
}

TEST_F(sandbox_inside, memory_does_not_become_code)
{
	const auto map = [](int access) {
		return ::mmap(nullptr, 4096, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
	};

	EXPECT_EQ(error_of([&] { return map(PROT_READ | PROT_WRITE | PROT_EXEC); }), EPERM);
	EXPECT_EQ(error_of([&] { return map(PROT_READ | PROT_WRITE); }), 0);
	EXPECT_EQ(error_of([] {
		void *const at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		return ::mprotect(at, 4096, PROT_READ | PROT_EXEC);
	}), EPERM);
}

TEST_F(sandbox_inside, hostile_calls_end_it)
{
#ifdef KVMCHAN_SANITIZED
	GTEST_SKIP() << "LeakSanitizer needs ptrace()";
#else
	EXPECT_EQ(error_of([] { return static_cast<int>(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }), -SIGSYS);
	EXPECT_EQ(error_of([] { return ::unshare(CLONE_NEWUSER); }), -SIGSYS);
	EXPECT_EQ(error_of([] { return static_cast<int>(::syscall(SYS_mount, "a", "/mnt", "tmpfs", 0, 0)); }), -SIGSYS);
	EXPECT_EQ(error_of([] { return static_cast<int>(::syscall(SYS_bpf, 0, nullptr, 0)); }), -SIGSYS);
	EXPECT_EQ(error_of([] { return static_cast<int>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }),
	          EPERM);
	EXPECT_EQ(error_of([] { return ::kill(::getppid(), 0); }), EPERM);
#endif
}

TEST_F(sandbox_inside, kernel_without_landlock)
{
	const int status = confined(0, [&] {
		const std::string said = log_.str();
		const bool opens = ::open((outside_ / "file").c_str(), O_RDONLY) >= 0;
		const bool filtered = ::socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;

		return (said.find("no Landlock: files are not confined") != std::string::npos ? 1 : 0) |
		       (said.find("system calls are filtered") != std::string::npos ? 2 : 0) | (opens ? 4 : 0) |
		       (filtered ? 8 : 0);
	});

	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 15);
}

/* There is room for 16 of them, one in another. */
TEST_F(sandbox_inside, landlock_that_fails)
{
	if (landlock::abi() == 0)
		GTEST_SKIP() << "this kernel has no Landlock";
	const pid_t child = ::fork();
	int status = -1;

	if (child == 0) {
		::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		for (int i = 0; i < 16; ++i)
			landlock::confine({{"/", landlock::read_files | landlock::write_files | landlock::list}}, landlock::abi(), true);
		spdlog::set_default_logger(std::make_shared<spdlog::logger>(
			"test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log_, true)));
		sandbox box{config_, "", "", "/usr/sbin/kvmchan"};

		box.enter(landlock::abi());
		::_exit(log_.str().find("files are not confined: the set of rules") != std::string::npos &&
		                ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 1);
	}
	::waitpid(child, &status, 0);
	EXPECT_EQ(status, 0);
}

/* ---- the tool ---- */

class server_sandbox : public server_handover {
protected:
	std::string file() const { return (directory_ / "kvmchan.toml").string(); }

	std::string region(const std::string &name, const std::string &more = {}) const
	{
		const std::string socket = name == "r" ? socket_ : (directory_ / name).string();

		return "[[region]]\nname = \"" + name + "\"\nsize = \"1M\"\nsocket = \"" + socket + "\"\n" + more;
	}

	void write(const std::string &text) const { std::ofstream{file()} << text; }

	void serve_file(const std::string &text, bool with_store = false)
	{
		write(text);
		start({KVMCHAN_TOOL, "serve", "-v", "-F", "-q", "-c", file()}, with_store);
	}

	std::string refusal_of(const char *command)
	try {
		ask({{"cmd", command}});
		return "not refused";
	} catch (const std::system_error &error) {
		return error.what();
	}
};

TEST_F(server_sandbox, is_entered_before_anybody_is_served)
{
	start(command(), false);
	EXPECT_EQ(status_of(server_->pid(), "Seccomp"), "2");
	EXPECT_EQ(status_of(server_->pid(), "NoNewPrivs"), "1");
	EXPECT_EQ(times_said("sandbox: system calls are filtered"), 1U) << output();
	EXPECT_EQ(times_said("sandbox: Landlock"), landlock::abi() ? 1U : 0U) << output();
	EXPECT_EQ(server_->end(SIGTERM), 0);
	EXPECT_FALSE(std::filesystem::exists(socket_));
}

TEST_F(server_sandbox, can_be_switched_off)
{
	start(command({"--no-sandbox"}), false);
	EXPECT_EQ(status_of(server_->pid(), "Seccomp"), status_of(::getpid(), "Seccomp"));
	EXPECT_EQ(status_of(server_->pid(), "NoNewPrivs"), status_of(::getpid(), "NoNewPrivs"));
	ASSERT_TRUE(run_again());
	EXPECT_EQ(times_said("sandbox"), 0U) << output();
}

TEST_F(server_sandbox, program_run_again_has_that_of_the_first)
{
	start(command(), false);
	const std::string filters = status_of(server_->pid(), "Seccomp_filters");

	ASSERT_TRUE(run_again());
	ASSERT_TRUE(run_again());
	EXPECT_EQ(status_of(server_->pid(), "Seccomp_filters"), filters);
	EXPECT_EQ(times_said("sandbox: system calls are filtered"), 1U) << output();
	EXPECT_EQ(times_said("sandbox: that of the former program"), 2U) << output();
}

/* As if a former program had entered one, in an environment that says so. */
TEST_F(server_sandbox, word_of_a_sandbox_is_not_believed)
{
	std::string line = "KVMCHAN_SANDBOX=\"$$\nfiles\n/\" exec";

	for (const std::string &word : command())
		line += " '" + word + "'";
	start({"/bin/sh", "-c", line}, false);
	EXPECT_EQ(status_of(server_->pid(), "Seccomp"), "2") << output();
	EXPECT_EQ(times_said("sandbox: system calls are filtered"), 1U) << output();
}

TEST_F(server_sandbox, next_process_enters_its_own)
{
	serve_file(region("r"), true);
	raw_client client{socket_};

	ASSERT_EQ(client.take(3 + 8).size(), 11U);
	status();
	ASSERT_EQ(server_->end(SIGTERM), 0);
	server_->start();
	ASSERT_TRUE(wait_until_served()) << output();
	EXPECT_EQ(status_of(server_->pid(), "Seccomp"), "2");
	EXPECT_EQ(times_said("sandbox: system calls are filtered"), 2U) << output();
	EXPECT_FALSE(client.ended(50));
}

TEST_F(server_sandbox, paths_outside_are_refused_and_named)
{
	if (landlock::abi() == 0)
		GTEST_SKIP() << "this kernel has no Landlock";
	const temporary_directory other;
	const std::string channel = "[[region.channel]]\nname = \"later\"\n";
	const std::array<std::string, 4> outside{
		region("r", channel) + "[[region]]\nname = \"q\"\nsize = \"1M\"\nsocket = \"" + (other / "q").string() + "\"\n",
		region("r", channel + "[[region.vm]]\nname = \"v\"\nsocket = \"" + (other / "v").string() + "\"\n"),
		region("r", "memory = \"file\"\npath = \"" + (other / "memory").string() + "\"\n" + channel),
		region("r", "memory = \"shm\"\nshm_name = \"kvmchan-sandbox-test\"\n" + channel),
	};
	const std::array<std::string, 4> named{"socket " + (other / "q").string(), "socket " + (other / "v").string(),
	                                       "memory file " + (other / "memory").string(),
	                                       "shared memory object kvmchan-sandbox-test"};

	serve_file(region("r"));
	raw_client client{socket_};

	ASSERT_EQ(client.take(3 + 8).size(), 11U);
	for (std::size_t i = 0; i < outside.size(); ++i) {
		write(outside.at(i));
		for (const char *ask_for : {"reload", "restart"}) {
			const std::string text = refusal_of(ask_for);

			EXPECT_NE(text.find(named.at(i) + ": "), std::string::npos) << text;
			EXPECT_NE(text.find("needs a restart as a new process"), std::string::npos) << text;
		}
		EXPECT_TRUE(status().at("slots").empty()) << "half of it was done";
	}
	server_->signal(SIGHUP);
	EXPECT_TRUE(eventually([&] { return times_said("reload: shared memory object") == 1; })) << output();
	EXPECT_FALSE(client.ended(50));
	write(region("r", channel));
	ask({{"cmd", "reload"}});
	EXPECT_EQ(status().at("slots").size(), 1U);
	EXPECT_FALSE(client.ended(50));
}

/* Whatever the memory: another shape has it made anew, by a program that was confined before it began. */
TEST_F(server_sandbox, regions_change_their_shape_within)
{
	const std::string shm = "kvmchan-sandbox-" + std::to_string(::getpid());
	const std::array<std::string, 4> memories{
		"memory = \"memfd\"\n", "memory = \"shm\"\nshm_name = \"" + shm + "\"\n",
		"memory = \"file\"\npath = \"" + (directory_ / "memory").string() + "\"\n",
		"memory = \"directory\"\npath = \"" + directory_.path().string() + "\"\n"};

	for (const std::string &memory : memories) {
		serve_file(region("r", memory + "vectors = 1\ngroup = \"root\"\n"));
		const raw_client client{socket_};

		write(region("r", memory + "vectors = 3\ngroup = \"root\"\n") + region("added"));
		ask({{"cmd", "restart"}});
		ASSERT_TRUE(eventually([&] { return std::filesystem::exists(directory_ / "added.ctl"); })) << memory << output();
		ASSERT_TRUE(wait_until_served()) << memory << output();
		raw_client added{directory_ / "added"}, after{socket_};

		EXPECT_EQ(added.take(3 + 8).size(), 11U) << memory;
		EXPECT_EQ(after.take(3 + 3).size(), 6U) << memory;
		EXPECT_EQ(server_->end(SIGTERM), 0) << output();
		EXPECT_FALSE(std::filesystem::exists(directory_ / "added")) << memory;
		/* Found by the second program, and so not its to remove. */
		std::filesystem::remove("/dev/shm/" + shm);
	}
}

/* A program that has a server in it stays what it is, each thread of it. */
TEST_F(server_test, of_another_program_confines_nobody)
{
	const std::string before = status_of(::getpid(), "Seccomp") + status_of(::getpid(), "NoNewPrivs");

	start();
	raw_client client{region_.socket};

	ASSERT_EQ(client.take(5).size(), 5U);
	for (const auto &task : std::filesystem::directory_iterator{"/proc/self/task"}) {
		const pid_t thread = std::stoi(task.path().filename());

		EXPECT_EQ(status_of(thread, "Seccomp") + status_of(thread, "NoNewPrivs"), before);
	}
	EXPECT_TRUE(unique_fd{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)});
}

} // namespace
} // namespace kvmchan::testing
