// SPDX-License-Identifier: MIT
#include "exec_fds.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace kvmchan {
namespace {

constexpr const char *listen_variables[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};

/**
 * Puts descriptors from SD_LISTEN_FDS_START on, not to be closed by execve();
 * what was there before is put back when the object goes.
 */
class placed_fds {
public:
	placed_fds() noexcept = default;
	placed_fds(const placed_fds &) = delete;
	placed_fds &operator=(const placed_fds &) = delete;
	~placed_fds() { put_back(); }

	/** Throws std::system_error; what was placed so far is put back as ever. */
	void place(const fd_names &fds)
	{
		count_ = static_cast<int>(fds.size());
		for (int at = first; at < first + count_; ++at)
			before_.push_back(above(at));
		for (const auto &[name, fd] : fds) {
			const bool covered = fd >= first && fd < first + count_;
			const int from = covered ? before_[static_cast<std::size_t>(fd - first)].get() : fd;

			if (::dup2(from, first + placed_) < 0)
				fail("dup2");
			++placed_;
		}
	}
private:
	static constexpr int first = SD_LISTEN_FDS_START;

	unique_fd above(int fd) const
	{
		unique_fd copy{::fcntl(fd, F_DUPFD_CLOEXEC, first + count_)};

		if (!copy && errno != EBADF)
			fail("fcntl(F_DUPFD_CLOEXEC)");
		return copy;
	}

	void put_back() noexcept
	{
		for (int i = 0; i < placed_; ++i) {
			const unique_fd &was = before_[static_cast<std::size_t>(i)];

			if (was)
				::dup3(was.get(), first + i, O_CLOEXEC);
			else
				::close(first + i);
		}
		placed_ = 0;
	}

	[[noreturn]] static void fail(const char *what) { throw std::system_error{errno, std::system_category(), what}; }

	int count_ = 0;
	int placed_ = 0;
	std::vector<unique_fd> before_;
};

void set_variables(const fd_names &fds)
{
	std::string names;

	for (const auto &[name, fd] : fds)
		names += (names.empty() ? "" : ":") + name;
	::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
	::setenv("LISTEN_FDS", std::to_string(fds.size()).c_str(), 1);
	::setenv("LISTEN_FDNAMES", names.c_str(), 1);
}

} // namespace

const std::vector<int> heeded_signals{SIGINT, SIGTERM, SIGHUP, SIGUSR2};

void block_heeded_signals(bool block) noexcept
{
	sigset_t set;

	sigemptyset(&set);
	for (const int signal : heeded_signals)
		sigaddset(&set, signal);
	::pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

void execute_with(const std::string &program, const std::vector<std::string> &arguments, const fd_names &fds)
{
	std::vector<char *> words;
	int error = 0;

	words.reserve(arguments.size() + 1);
	for (const std::string &word : arguments)
		words.push_back(const_cast<char *>(word.c_str()));
	words.push_back(nullptr);
	{
		placed_fds placed;

		placed.place(fds);
		set_variables(fds);
		block_heeded_signals(true);
		::execv(program.c_str(), words.data());
		error = errno;
		block_heeded_signals(false);
		for (const char *name : listen_variables)
			::unsetenv(name);
	}
	throw std::system_error{error, std::system_category(), program};
}

} // namespace kvmchan
