// SPDX-License-Identifier: MIT
// A program that a test starts and ends.
#ifndef KVMCHAN_TESTS_SERVER_PROCESS_HPP
#define KVMCHAN_TESTS_SERVER_PROCESS_HPP

#include <csignal>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server_fixture.hpp"

namespace kvmchan::testing {

/** Runs until it ends by itself or the object goes. Its output goes to a file. */
class process {
public:
	process(const std::vector<std::string> &command, const std::filesystem::path &output, const char *argv0 = nullptr)
	{
		std::vector<char *> words;
		posix_spawn_file_actions_t actions;

		words.reserve(command.size() + 1);
		for (const std::string &word : command)
			words.push_back(const_cast<char *>(word.c_str()));
		words.push_back(nullptr);
		if (argv0)
			words[0] = const_cast<char *>(argv0);
		::posix_spawn_file_actions_init(&actions);
		::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
		::posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
		::posix_spawn_file_actions_adddup2(&actions, 1, 2);
		const int error = ::posix_spawnp(&pid_, command[0].c_str(), &actions, nullptr, words.data(), environ);

		::posix_spawn_file_actions_destroy(&actions);
		if (error)
			throw std::system_error{error, std::system_category(), command[0]};
	}
	process(const process &) = delete;
	process &operator=(const process &) = delete;
	~process()
	{
		if (pid_ > 0)
			signal(SIGKILL);
		wait();
	}

	void signal(int number) const { ::kill(pid_, number); }

	/** The exit code, or 128 + signal. */
	int wait()
	{
		int status = 0;

		if (pid_ <= 0)
			return code_;
		::waitpid(pid_, &status, 0);
		pid_ = -1;
		code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		return code_;
	}

	bool running()
	{
		siginfo_t info{};

		return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		       info.si_pid == 0;
	}

	pid_t pid() const { return pid_; }

private:
	pid_t pid_ = -1;
	int code_ = -1;
};

} // namespace kvmchan::testing

#endif
