// SPDX-License-Identifier: MIT
// "kvmchan connect": standard input and output, and a channel.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include <poll.h>
#include <unistd.h>

#include "command.hpp"
#include "doorbell.hpp"
#include "endpoint.hpp"
#include "stdio_bytes.hpp"
#include "unique_fd.hpp"

namespace kvmchan::tools {
namespace {

constexpr auto look_again = std::chrono::milliseconds{100};

struct connect_options {
	endpoint_argument end;
	bool read_only = false;
	bool write_only = false;
	bool reconnect = false;
};

/* Standard input to the channel, on a thread of its own. */
class sender {
public:
	sender(channel &to, bool until_input_ends)
		: to_{to}, keep_unsent_{!until_input_ends}, buffer_(chunk(to))
	{
		std::error_code ec;

		stop_ = make_doorbell(ec);
		if (ec)
			throw std::system_error{ec, "eventfd"};
	}

	void start() { thread_ = std::thread{[this] { run(); }}; }

	/** Also from a wait for input; a write ends by itself when the peer is gone. */
	void stop()
	{
		ring_doorbell(stop_.get());
		thread_.join();
		drain_doorbell(stop_.get());
		done_ = false;
	}

	bool done() const noexcept { return done_; }
	bool input_ended() const noexcept { return input_ended_; }
	void rethrow() const
	{
		if (error_)
			std::rethrow_exception(error_);
	}

private:
	static std::size_t chunk(const channel &to)
	{
		return to.mode() == channel_mode::packet ? std::min(to.max_record(), stdio_buffer) : stdio_buffer;
	}

	void run() noexcept
	{
		try {
			while (send_rest() && fill())
				;
			if (input_ended_ && rest_.empty())
				to_.shutdown_write();
		} catch (const std::system_error &) {
			error_ = std::current_exception();
		}
		done_ = true;
	}

	/* False when the peer is gone. */
	bool send_rest()
	{
		while (!rest_.empty()) {
			std::error_code ec;

			rest_ = rest_.subspan(to_.write_some(rest_, ec));
			if (ec == std::errc::broken_pipe) {
				if (!keep_unsent_)
					rest_ = {};
				return false;
			}
			if (ec)
				throw std::system_error{ec, "writing to the channel"};
		}
		return true;
	}

	/* False at the end of input, and when we are to stop. */
	bool fill()
	{
		pollfd entries[] = {{STDIN_FILENO, POLLIN, 0}, {stop_.get(), POLLIN, 0}};

		if (input_ended_)
			return false;
		while (::poll(entries, 2, -1) < 0 && errno == EINTR)
			;
		if (entries[1].revents)
			return false;
		rest_ = std::span{buffer_}.first(read_input(buffer_));
		input_ended_ = rest_.empty();
		return !input_ended_;
	}

	channel &to_;
	bool keep_unsent_;
	std::vector<std::byte> buffer_;
	std::span<const std::byte> rest_;
	unique_fd stop_;
	std::thread thread_;
	std::exception_ptr error_;
	std::atomic<bool> input_ended_{false};
	std::atomic<bool> done_{false};
};

/* The channel to standard output, until no more will come. */
void receive(channel &from)
{
	std::vector<std::byte> buffer(
		from.mode() == channel_mode::packet ? std::max<std::size_t>(from.info().rx_size, 1) : stdio_buffer);

	while (const std::size_t n = from.read_some(buffer))
		write_output(std::span{buffer}.first(n));
}

/*
 * One session. A peer that only shut its writing down goes on reading, so what
 * comes from standard input is still sent.
 */
void run_session(channel &link, sender *input, bool reads)
{
	if (input)
		input->start();
	try {
		if (reads)
			receive(link);
		while (input && !input->done() && !any(link.wait_for(event::hangup, look_again)))
			;
	} catch (...) {
		link.shutdown_write();
		if (input)
			input->stop();
		throw;
	}
	if (input) {
		if (!input->done())
			link.shutdown_write();
		input->stop();
		input->rethrow();
	}
}

void connect(const connect_options &options)
{
	channel_options how;

	how.read = !options.write_only;
	how.write = !options.read_only;
	how.side = options.end.side();
	channel link = options.end.get().open(how);
	std::unique_ptr<sender> input;

	if (how.write)
		input = std::make_unique<sender>(link, !options.reconnect);
	for (;;) {
		run_session(link, input.get(), how.read);
		if (!options.reconnect || (input && input->input_ended()))
			return;
		link.reconnect();
	}
}

} // namespace

void add_connect_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("connect", "Connect standard input and output with a channel");
	auto options = std::make_shared<connect_options>();

	options->end.add_to(command);
	CLI::Option *const reads = command.add_flag("-r,--read-only", options->read_only, "Only from the channel to standard output");

	command.add_flag("-w,--write-only", options->write_only,
	                 "Only from standard input to the channel; what nobody has read at the end waits for the peer\n"
	                 "that comes next, until somebody opens this side again")
		->excludes(reads);
	command.add_flag("--reconnect", options->reconnect,
	                 "Begin a new session when the peer goes, until standard input ends");
	on_run(command, [options] { connect(*options); });
}

} // namespace kvmchan::tools
