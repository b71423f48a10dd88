// SPDX-License-Identifier: MIT
#include "server.hpp"

#include "machine.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <csignal>
#include <exception>
#include <utility>

#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace guest_init {

namespace protocol = harness::protocol;
using kvmchan::unique_fd;

namespace {

constexpr std::size_t outgoing_limit = 512 * 1024;

unique_fd child_signals()
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, nullptr);
	return unique_fd{signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
}

std::string describe_machine()
{
	utsname names{};
	uname(&names);
	return nlohmann::json{
		{"release", names.release},
		{"version", names.version},
		{"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
	}.dump();
}

} // namespace

server::server(unique_fd port, std::string token)
    : port_{std::move(port)}, signals_{child_signals()}, token_{std::move(token)}, decoder_{token_}
{
	begin();
}

void server::begin()
{
	for (const auto &process : children_)
		process.signal(SIGKILL);
	children_.clear(); // reap() does not mind
	outgoing_ = protocol::mark(token_);
	send(kind::hello, 0, describe_machine());
}

bool server::congested() const
{
	return outgoing_.size() > outgoing_limit;
}

void server::send(kind type, std::uint32_t id, std::string_view payload)
{
	outgoing_ += protocol::encode(type, id, payload);
}

void server::flush()
{
	while (!outgoing_.empty()) {
		const auto n = write(port_.get(), outgoing_.data(), outgoing_.size());
		if (n <= 0)
			return;
		outgoing_.erase(0, static_cast<std::size_t>(n));
	}
}

child *server::find(std::uint32_t id)
{
	for (auto &process : children_) {
		if (process.id() == id)
			return &process;
	}
	return nullptr;
}

void server::start(const protocol::frame &request)
try {
	const auto options = nlohmann::json::parse(request.payload);
	children_.emplace_back(request.id, child_options{options.at("argv"), options.at("env")});
} catch (const std::exception &e) {
	send(kind::failed, request.id, e.what());
}

void server::handle(const protocol::frame &request)
{
	child *process = find(request.id);
	switch (request.type) {
	case kind::start:
		start(request);
		break;
	case kind::input:
		if (process)
			process->queue_input(request.payload);
		break;
	case kind::signal:
		if (process)
			process->signal(static_cast<int>(protocol::number(request.payload)));
		break;
	case kind::ping:
		pump_logs();
		send(kind::pong, request.id);
		break;
	case kind::poweroff:
		power_off();
	case kind::reboot:
		reboot_machine();
	default:
		break;
	}
}

void server::receive()
{
	char bytes[16384];
	const auto n = read(port_.get(), bytes, sizeof bytes);
	if (n <= 0) {
		// No host behind the port (it may come back): poll would not sleep.
		usleep(10'000);
		return;
	}
	if (decoder_.feed({bytes, static_cast<std::size_t>(n)}) && std::exchange(attached_, true))
		begin();
	while (const auto request = decoder_.next())
		handle(*request);
}

void server::pump_logs()
{
	while (const auto line = log_.next())
		send(kind::log, 0, *line);
}

void server::pump_child(child &process)
{
	if (const auto gone = process.feed(); gone > 0)
		outgoing_ += protocol::encode_number(kind::credit, process.id(),
		                                     static_cast<std::uint32_t>(gone));
	if (const auto bytes = process.read_output())
		send(kind::output, process.id(), *bytes);
	if (const auto bytes = process.read_error())
		send(kind::error, process.id(), *bytes);
}

/* What a dead command wrote is in its pipes; heirs may hold them open. */
void server::finish(child &process)
{
	while (const auto bytes = process.read_output())
		send(kind::output, process.id(), *bytes);
	while (const auto bytes = process.read_error())
		send(kind::error, process.id(), *bytes);
	outgoing_ += protocol::encode_number(kind::exited, process.id(),
	                                     static_cast<std::uint32_t>(*process.status));
}

void server::reap()
{
	signalfd_siginfo info;
	while (read(signals_.get(), &info, sizeof info) > 0) {
	}
	int status = 0;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		for (auto &process : children_) {
			if (process.pid() == pid)
				process.status = status;
		}
	}
	for (auto &process : children_) {
		if (process.status)
			finish(process);
	}
	std::erase_if(children_, [](const child &process) { return process.status.has_value(); });
}

std::vector<pollfd> server::poll_set() const
{
	std::vector<pollfd> set;
	const auto port_events = static_cast<short>(POLLIN | (outgoing_.empty() ? 0 : POLLOUT));
	set.push_back({port_.get(), port_events, 0});
	set.push_back({signals_.get(), POLLIN, 0});
	if (!congested())
		set.push_back({log_.fd(), POLLIN, 0});
	for (const auto &process : children_) {
		if (process.wants_input())
			set.push_back({process.input_fd(), POLLOUT, 0});
		if (congested())
			continue;
		set.push_back({process.output_fd(), POLLIN, 0});
		set.push_back({process.error_fd(), POLLIN, 0});
	}
	return set;
}

void server::run()
{
	for (;;) {
		auto set = poll_set();
		if (poll(set.data(), set.size(), -1) < 0 && errno != EINTR)
			give_up("poll failed");
		if (set[0].revents & (POLLIN | POLLHUP | POLLERR))
			receive();
		if (!congested()) {
			pump_logs();
			for (auto &process : children_)
				pump_child(process);
		}
		reap();
		flush();
	}
}

} // namespace guest_init
