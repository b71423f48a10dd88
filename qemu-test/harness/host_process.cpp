// SPDX-License-Identifier: MIT
#include "host_process.hpp"

#include "error.hpp"
#include "io_thread.hpp"

#include <asio/post.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harness {

using kvmchan::unique_fd;

struct host_process::state {
	mutable std::mutex mutex;
	std::condition_variable changed;
	std::string name;
	pid_t pid = -1;
	bool finished = false; // reaped, and its output is complete
	int status = 0;
	std::string out, err;
	std::size_t read = 0; // of out, by read()
	std::shared_ptr<stream> in_stream, out_stream, err_stream;
	asio::posix::stream_descriptor pidfd{io()};

	result make_result() const;
	std::string story() const;
	void await_death(const std::shared_ptr<state> &self);
};

namespace {

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

struct child_plan {
	std::vector<char *> argv;
	std::vector<char *> envp;
	std::vector<std::string> env_words;
	const process_options *options;
	pid_t parent;
	int in, out, err, failure;
};

/*
 * Between fork and exec, in a process that has threads: system calls only, all
 * memory is laid out before.
 */
[[noreturn]] void execute(const child_plan &plan)
{
	const auto fail = [&] {
		const int number = errno;
		[[maybe_unused]] const auto n = write(plan.failure, &number, sizeof number);
		_exit(127);
	};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != plan.parent)
		_exit(127); // died before the line above
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	dup2(plan.in, STDIN_FILENO);
	dup2(plan.out, STDOUT_FILENO);
	dup2(plan.err, STDERR_FILENO);
	for (const int fd : plan.options->inherit)
		fcntl(fd, F_SETFD, 0);
	if (!plan.options->directory.empty() && chdir(plan.options->directory.c_str()) != 0)
		fail();
	execvpe(plan.argv[0], plan.argv.data(), plan.envp.data());
	fail();
	_exit(127);
}

void plan_environment(child_plan &plan)
{
	const auto &extra = plan.options->env;
	for (char **word = environ; *word; ++word) {
		const std::string_view text{*word};
		if (!extra.contains(std::string{text.substr(0, text.find('='))}))
			plan.envp.push_back(*word);
	}
	plan.env_words.reserve(extra.size());
	for (const auto &[name, value] : extra) {
		plan.env_words.push_back(fmt::format("{}={}", name, value));
		plan.envp.push_back(plan.env_words.back().data());
	}
	plan.envp.push_back(nullptr);
}

pid_t start(const process_options &options, const pipe_ends &in, const pipe_ends &out,
            const pipe_ends &err)
{
	if (options.argv.empty())
		throw error{"host_process: no command"};
	auto failure = make_pipe();
	child_plan plan{};
	plan.options = &options;
	plan.parent = getpid();
	plan.in = in.read.get();
	plan.out = out.write.get();
	plan.err = err.write.get();
	plan.failure = failure.write.get();
	for (const auto &word : options.argv)
		plan.argv.push_back(const_cast<char *>(word.c_str()));
	plan.argv.push_back(nullptr);
	plan_environment(plan);

	const pid_t pid = fork();
	if (pid < 0)
		throw std::system_error{errno, std::system_category(), "fork"};
	if (pid == 0)
		execute(plan);
	failure.write.reset();
	int number = 0;
	if (read(failure.read.get(), &number, sizeof number) == sizeof number) {
		waitpid(pid, nullptr, 0);
		throw error{"cannot execute " + options.argv[0] + ": " + std::strerror(number)};
	}
	return pid;
}

std::string quoted_tail(const char *name, const std::string &text)
{
	constexpr std::size_t most = 4000;
	if (text.empty())
		return {};
	return std::string{"\n--- "} + name + " ---\n" +
	       (text.size() > most ? "[...]" + text.substr(text.size() - most) : text);
}

} // namespace

result host_process::state::make_result() const
{
	result made;
	made.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	made.exit = made.signal ? 128 + made.signal : WEXITSTATUS(status);
	made.out = out;
	made.err = err;
	return made;
}

std::string host_process::state::story() const
{
	return name + " (pid " + std::to_string(pid) + ")" + quoted_tail("stdout", out) +
	       quoted_tail("stderr", err);
}

host_process::host_process(process_options options) : state_{std::make_shared<state>()}
{
	auto in = make_pipe();
	auto out = make_pipe();
	auto err = make_pipe();
	state_->name = options.argv.empty() ? "" : options.argv[0];
	state_->pid = start(options, in, out, err);

	const auto collect = [self = state_](std::string state::*where) {
		return stream::handlers{.received = [self, where](std::string_view bytes) {
			const std::lock_guard lock{self->mutex};
			(*self).*where += bytes;
			self->changed.notify_all();
		}};
	};
	const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, state_->pid, 0));
	if (pidfd < 0)
		throw std::system_error{errno, std::system_category(), "pidfd_open"};
	state_->pidfd.assign(pidfd);
	state_->in_stream = stream::open(std::move(in.write), {});
	state_->out_stream = stream::open(std::move(out.read), collect(&state::out));
	state_->err_stream = stream::open(std::move(err.read), collect(&state::err));

	state_->out_stream->start();
	state_->err_stream->start();
	asio::post(io(), [self = state_] { self->await_death(self); });
}

/* A pidfd becomes readable when its process ends. */
void host_process::state::await_death(const std::shared_ptr<state> &self)
{
	pidfd.async_wait(asio::posix::stream_descriptor::wait_read, [self](const std::error_code &ec) {
		if (ec)
			return;
		self->out_stream->drain();
		self->err_stream->drain();
		const std::lock_guard lock{self->mutex};
		waitpid(self->pid, &self->status, 0);
		self->finished = true;
		self->pidfd.close();
		for (auto *each : {&self->in_stream, &self->out_stream, &self->err_stream})
			(*each)->close();
		self->changed.notify_all();
	});
}

host_process::~host_process()
{
	if (!state_)
		return;
	try {
		kill9();
	} catch (...) {
		// A process that survives SIGKILL is the kernel's; main() reports it.
	}
}

host_process::host_process(host_process &&) noexcept = default;

host_process &host_process::operator=(host_process &&other) noexcept
{
	host_process old{std::move(*this)};
	state_ = std::move(other.state_);
	return *this;
}

int host_process::pid() const noexcept
{
	return state_->pid;
}

bool host_process::running() const
{
	const std::lock_guard lock{state_->mutex};
	return !state_->finished;
}

void host_process::write_stdin(std::string_view bytes)
{
	state_->in_stream->write(bytes);
}

void host_process::close_stdin()
{
	state_->in_stream->close_after_writes();
}

void host_process::signal(int number)
{
	const std::lock_guard lock{state_->mutex};
	if (!state_->finished)
		kill(state_->pid, number);
}

void host_process::kill9()
{
	{
		const std::lock_guard lock{state_->mutex};
		// The group outlives its leader for as long as it has members, and
		// its number is not reused before it is empty; ESRCH is fine.
		if (kill(-state_->pid, SIGKILL) != 0 && !state_->finished)
			kill(state_->pid, SIGKILL);
	}
	wait(nominal::exit);
}

void host_process::stop()
{
	signal(SIGSTOP);
	const auto deadline = deadline_after(nominal::exit);
	while (clock::now() < deadline) {
		siginfo_t info{};
		if (waitid(P_PID, static_cast<id_t>(state_->pid), &info, WSTOPPED | WNOHANG | WNOWAIT) != 0)
			throw error{"cannot stop " + state_->name + ": it ended"};
		if (info.si_pid != 0)
			return;
		usleep(1000);
	}
	throw deadline_error{state_->name + " does not stop"};
}

void host_process::cont()
{
	signal(SIGCONT);
}

std::optional<result> host_process::wait_for(milliseconds limit)
{
	std::unique_lock lock{state_->mutex};
	if (!state_->changed.wait_until(lock, deadline_after(limit), [&] { return state_->finished; }))
		return std::nullopt;
	return state_->make_result();
}

result host_process::wait(milliseconds limit)
{
	if (auto ended = wait_for(limit))
		return *std::move(ended);
	const std::lock_guard lock{state_->mutex};
	throw deadline_error{"does not end: " + state_->story()};
}

std::string host_process::out() const
{
	const std::lock_guard lock{state_->mutex};
	return state_->out;
}

std::string host_process::err() const
{
	const std::lock_guard lock{state_->mutex};
	return state_->err;
}

std::string host_process::read()
{
	const std::lock_guard lock{state_->mutex};
	auto text = state_->out.substr(state_->read);
	state_->read = state_->out.size();
	return text;
}

void host_process::wait_output(std::string_view text, milliseconds limit)
{
	std::unique_lock lock{state_->mutex};
	const auto there = [&] {
		return state_->out.find(text) != std::string::npos ||
		       state_->err.find(text) != std::string::npos;
	};
	state_->changed.wait_until(lock, deadline_after(limit),
	                           [&] { return state_->finished || there(); });
	if (!there())
		throw deadline_error{"no \"" + std::string{text} + "\" from " + state_->story()};
}

result run_host(std::vector<std::string> argv, milliseconds limit)
{
	host_process process{std::move(argv)};
	process.close_stdin();
	return process.wait(limit);
}

} // namespace harness
