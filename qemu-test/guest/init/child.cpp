// SPDX-License-Identifier: MIT
#include "child.hpp"

#include "protocol.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace guest_init {

namespace {

using kvmchan::unique_fd;

struct pipe_ends {
	unique_fd read;
	unique_fd write;
};

pipe_ends make_pipe()
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		throw std::system_error{errno, std::system_category(), "pipe"};
	return {unique_fd{fds[0]}, unique_fd{fds[1]}};
}

void set_nonblocking(const unique_fd &fd)
{
	fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

/* In the child: on failure, errno goes through the pipe that exec closes. */
[[noreturn]] void execute(const child_options &options, const pipe_ends &in, const pipe_ends &out,
                          const pipe_ends &err, const unique_fd &failure)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, nullptr);
	setsid();
	dup2(in.read.get(), STDIN_FILENO);
	dup2(out.write.get(), STDOUT_FILENO);
	dup2(err.write.get(), STDERR_FILENO);
	for (const auto &[name, value] : options.env)
		setenv(name.c_str(), value.c_str(), 1);
	std::vector<char *> argv;
	for (const auto &word : options.argv)
		argv.push_back(const_cast<char *>(word.c_str()));
	argv.push_back(nullptr);
	execvp(argv[0], argv.data());
	const int number = errno;
	[[maybe_unused]] const auto n = write(failure.get(), &number, sizeof number);
	_exit(127);
}

} // namespace

child::child(std::uint32_t id, const child_options &options) : id_{id}
{
	auto in = make_pipe();
	auto out = make_pipe();
	auto err = make_pipe();
	auto failure = make_pipe();
	pid_ = fork();
	if (pid_ < 0)
		throw std::system_error{errno, std::system_category(), "fork"};
	if (pid_ == 0)
		execute(options, in, out, err, failure.write);
	failure.write.reset();
	int number = 0;
	if (read(failure.read.get(), &number, sizeof number) == sizeof number)
		throw std::system_error{number, std::system_category(), options.argv[0]};
	in_ = std::move(in.write);
	out_ = std::move(out.read);
	err_ = std::move(err.read);
	for (const auto *fd : {&in_, &out_, &err_})
		set_nonblocking(*fd);
}

void child::queue_input(std::string_view bytes)
{
	if (bytes.empty())
		input_ended_ = true;
	else
		pending_ += bytes;
}

std::size_t child::feed()
{
	std::size_t gone = 0;
	if (!in_)
		return 0;
	if (!pending_.empty()) {
		const auto n = write(in_.get(), pending_.data(), pending_.size());
		if (n > 0) {
			gone = static_cast<std::size_t>(n);
			pending_.erase(0, gone);
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			// Nobody reads any more: the rest is as good as consumed.
			gone = std::exchange(pending_, {}).size();
			in_.reset();
		}
	}
	if (pending_.empty() && input_ended_)
		in_.reset();
	return gone;
}

std::optional<std::string> child::read_once(unique_fd &fd)
{
	if (!fd)
		return std::nullopt;
	std::string bytes(harness::protocol::max_payload, '\0');
	const auto n = read(fd.get(), bytes.data(), bytes.size());
	if (n > 0) {
		bytes.resize(static_cast<std::size_t>(n));
		return bytes;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fd.reset();
	return std::nullopt;
}

void child::signal(int number) const
{
	kill(-pid_, number);
}

} // namespace guest_init
