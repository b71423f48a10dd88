// SPDX-License-Identifier: MIT
#include "exec_fds.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/wait.h>
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

namespace {

constexpr unsigned trial_seconds = 10;

/* Of execv(); the vector lives as long as @p arguments. */
std::vector<char *> words_of(const std::vector<std::string> &arguments)
{
	std::vector<char *> words;

	words.reserve(arguments.size() + 1);
	for (const std::string &word : arguments)
		words.push_back(const_cast<char *>(word.c_str()));
	words.push_back(nullptr);
	return words;
}

[[noreturn]] void become(const std::string &program, const std::vector<char *> &words, int output)
{
	/* The next program keeps it, and ends by it. */
	::alarm(trial_seconds);
	::dup2(output, STDOUT_FILENO);
	::dup2(output, STDERR_FILENO);
	::execv(program.c_str(), words.data());
	const std::string_view why = ::strerrordesc_np(errno);

	if (::write(STDERR_FILENO, why.data(), why.size()) < 0)
		::_exit(EXIT_FAILURE);
	::_exit(EXIT_FAILURE);
}

/* The end of all that comes: what is wrong is said last. */
std::string last_words(int from)
{
	constexpr std::size_t most = 1000;
	std::array<char, 4096> chunk;
	std::string text;

	for (;;) {
		const ssize_t length = ::read(from, chunk.data(), chunk.size());

		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			break;
		text.append(chunk.data(), static_cast<std::size_t>(length));
		text.erase(0, text.size() - std::min(text.size(), most));
	}
	while (text.ends_with('\n'))
		text.pop_back();
	return text;
}

} // namespace

void try_program(const std::string &program, const std::vector<std::string> &arguments)
{
	const std::vector<char *> words = words_of(arguments);
	int ends[2], status = 0;

	if (::pipe2(ends, O_CLOEXEC) < 0)
		throw std::system_error{errno, std::system_category(), "pipe"};
	const unique_fd from{ends[0]};
	unique_fd to{ends[1]};
	const pid_t child = ::fork();

	if (child < 0)
		throw std::system_error{errno, std::system_category(), "fork"};
	if (child == 0)
		become(program, words, to.get());
	to.reset();
	const std::string text = last_words(from.get());

	while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
		throw std::system_error{std::make_error_code(std::errc::executable_format_error),
		                        program + ": " + (text.empty() ? "it does not end well" : text)};
}

void execute_with(const std::string &program, const std::vector<std::string> &arguments, const fd_names &fds)
{
	const std::vector<char *> words = words_of(arguments);
	int error = 0;

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
