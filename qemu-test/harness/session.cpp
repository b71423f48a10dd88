// SPDX-License-Identifier: MIT
#include "session.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include <sys/wait.h>

namespace harness {

using protocol::kind;

session::session(std::string token) : token_{std::move(token)}, decoder_{token_} {}

std::shared_ptr<session> session::open(kvmchan::unique_fd socket, std::string token)
{
	std::shared_ptr<session> self{new session{std::move(token)}};
	self->stream_ = stream::open(
		std::move(socket),
		{.received = [self](std::string_view bytes) { self->receive(bytes); },
	         .ended = [self] { self->close(); }});
	self->stream_->start();
	return self;
}

void session::describe_failures_with(std::function<std::string()> tail)
{
	const std::lock_guard lock{mutex_};
	tail_ = std::move(tail);
}

void session::fail(const std::string &what)
{
	throw guest_gone{what + (tail_ ? tail_() : "")};
}

void session::send(std::string_view bytes)
{
	stream_->write(bytes);
}

void session::lose_everything(const std::string &why)
{
	for (auto &[id, each] : commands_) {
		if (!each.ended) {
			each.ended = true;
			each.failure = why;
		}
	}
	pings_.clear();
	changed_.notify_all();
}

void session::close()
{
	const std::lock_guard lock{mutex_};
	closed_ = true;
	stream_->close();
	lose_everything("the guest ended");
}

void session::receive(std::string_view bytes)
{
	const std::lock_guard lock{mutex_};
	if (decoder_.feed(bytes)) {
		lose_everything("the guest rebooted");
		if (!std::exchange(attaching_, false))
			send(protocol::mark(token_));
	}
	while (const auto reply = decoder_.next())
		handle(*reply);
	changed_.notify_all();
}

void session::handle(const protocol::frame &reply)
{
	const auto &bytes = reply.payload;
	if (reply.type == kind::hello)
		++boots_;
	else if (reply.type == kind::log)
		log_ += bytes;
	else if (reply.type == kind::pong)
		pings_[reply.id] = true;
	const auto found = commands_.find(reply.id);
	if (found == commands_.end() || found->second.ended)
		return;
	auto &target = found->second;
	switch (reply.type) {
	case kind::output:
		target.outcome.out += bytes;
		break;
	case kind::error:
		target.outcome.err += bytes;
		break;
	case kind::credit:
		target.in_flight -= std::min<std::size_t>(target.in_flight, protocol::number(bytes));
		break;
	case kind::exited: {
		const int status = static_cast<int>(protocol::number(bytes));
		target.outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		target.outcome.exit = target.outcome.signal ? 128 + target.outcome.signal
		                                            : WEXITSTATUS(status);
		target.ended = true;
		break;
	}
	case kind::failed:
		// What a shell says of a command that it cannot run.
		target.outcome.err += bytes;
		target.outcome.exit = 127;
		target.ended = true;
		break;
	default:
		break;
	}
}

std::uint32_t session::next_id()
{
	return ++last_id_;
}

session::running_command &session::find(std::uint32_t id)
{
	return commands_.at(id);
}

template <typename Predicate>
bool session::wait_until(std::unique_lock<std::mutex> &lock, milliseconds limit, Predicate done)
{
	return changed_.wait_until(lock, deadline_after(limit), done);
}

std::uint32_t session::start(const command &what)
{
	auto argv = what.argv;
	if (argv.size() == 1)
		argv = {"/bin/sh", "-c", argv[0]};
	const auto request = nlohmann::json{{"argv", argv}, {"env", what.env}}.dump();
	if (argv.empty() || request.size() > protocol::max_payload)
		throw error{"guest command: no words, or more than 64 KiB of them"};

	std::unique_lock lock{mutex_};
	if (closed_) {
		lock.unlock();
		fail("cannot run \"" + what.argv.back() + "\": the guest ended");
	}
	const auto id = next_id();
	commands_[id].name = what.argv.size() == 1 ? what.argv[0] : what.argv[0] + " ...";
	send(protocol::encode(kind::start, id, request));
	return id;
}

void session::write_input(std::uint32_t id, std::string_view bytes)
{
	while (!bytes.empty()) {
		const auto part = bytes.substr(0, protocol::max_payload);
		std::unique_lock lock{mutex_};
		auto &target = find(id);
		const bool ready = wait_until(lock, nominal::command, [&] {
			return target.ended || target.in_flight + part.size() <= protocol::input_window;
		});
		if (target.ended)
			return; // as a pipe without reader, but that is no error here
		if (!ready)
			throw deadline_error{"\"" + target.name + "\" does not read its input"};
		target.in_flight += part.size();
		send(protocol::encode(kind::input, id, part));
		bytes.remove_prefix(part.size());
	}
}

void session::close_input(std::uint32_t id)
{
	send(protocol::encode(kind::input, id));
}

void session::signal(std::uint32_t id, int number)
{
	send(protocol::encode_number(kind::signal, id, static_cast<std::uint32_t>(number)));
}

bool session::running(std::uint32_t id)
{
	const std::lock_guard lock{mutex_};
	return !find(id).ended;
}

std::optional<result> session::wait_for(std::uint32_t id, milliseconds limit)
{
	std::unique_lock lock{mutex_};
	auto &target = find(id);
	if (!wait_until(lock, limit, [&] { return target.ended; }))
		return std::nullopt;
	const auto failure = target.failure;
	const auto name = target.name;
	auto outcome = target.outcome;
	lock.unlock();
	if (!failure.empty())
		fail("while \"" + name + "\" ran, " + failure + "\noutput: " + outcome.out + outcome.err);
	return outcome;
}

result session::wait(std::uint32_t id, milliseconds limit)
{
	if (auto outcome = wait_for(id, limit))
		return *std::move(outcome);
	signal(id, SIGKILL);
	std::unique_lock lock{mutex_};
	const auto &target = find(id);
	const auto text = "\"" + target.name + "\" did not end in time" +
	                  "\n--- stdout ---\n" + target.outcome.out + "\n--- stderr ---\n" +
	                  target.outcome.err;
	lock.unlock();
	throw deadline_error{text + (tail_ ? tail_() : "")};
}

std::string session::output(std::uint32_t id)
{
	const std::lock_guard lock{mutex_};
	return find(id).outcome.out;
}

std::string session::errors(std::uint32_t id)
{
	const std::lock_guard lock{mutex_};
	return find(id).outcome.err;
}

std::string session::read_output(std::uint32_t id)
{
	const std::lock_guard lock{mutex_};
	auto &target = find(id);
	auto text = target.outcome.out.substr(target.read);
	target.read = target.outcome.out.size();
	return text;
}

void session::wait_output(std::uint32_t id, std::string_view text, milliseconds limit)
{
	std::unique_lock lock{mutex_};
	auto &target = find(id);
	const auto there = [&] { return target.outcome.out.find(text) != std::string::npos; };
	wait_until(lock, limit, [&] { return target.ended || there(); });
	if (there())
		return;
	const auto story = "no \"" + std::string{text} + "\" from \"" + target.name + "\"" +
	                   (target.ended ? ", which ended" : "") + "\n--- stdout ---\n" +
	                   target.outcome.out + "\n--- stderr ---\n" + target.outcome.err;
	lock.unlock();
	throw deadline_error{story + (tail_ ? tail_() : "")};
}

unsigned session::boots()
{
	const std::lock_guard lock{mutex_};
	return boots_;
}

void session::wait_boots(unsigned more_than, milliseconds limit)
{
	std::unique_lock lock{mutex_};
	const bool ready = wait_until(lock, limit, [&] { return closed_ || boots_ > more_than; });
	const bool gone = closed_;
	lock.unlock();
	if (gone)
		fail("the guest ended while it booted");
	if (!ready)
		throw deadline_error{"the guest did not boot in time" + (tail_ ? tail_() : "")};
}

void session::attach(milliseconds limit)
{
	{
		const std::lock_guard lock{mutex_};
		attaching_ = true;
		send(protocol::mark(token_));
	}
	wait_boots(0, limit);
}

void session::ping(milliseconds limit)
{
	std::unique_lock lock{mutex_};
	const auto id = next_id();
	const auto boots_before = boots_;
	pings_[id] = false;
	if (!closed_)
		send(protocol::encode(kind::ping, id));
	const auto answered = [&] {
		const auto found = pings_.find(id);
		return found != pings_.end() && found->second;
	};
	const bool ready = wait_until(
		lock, limit, [&] { return closed_ || boots_ != boots_before || answered(); });
	const bool good = answered();
	pings_.erase(id);
	lock.unlock();
	if (!ready)
		throw deadline_error{"the guest does not answer" + (tail_ ? tail_() : "")};
	if (!good)
		fail("the guest went away");
}

void session::power_off()
{
	send(protocol::encode(kind::poweroff, 0));
}

std::string session::log()
{
	const std::lock_guard lock{mutex_};
	return log_;
}

bool session::wait_log(std::string_view text, milliseconds limit)
{
	std::unique_lock lock{mutex_};
	return wait_until(lock, limit,
	                  [&] { return closed_ || log_.find(text) != std::string::npos; }) &&
	       log_.find(text) != std::string::npos;
}

/* ---- handles ---- */

guest_command::guest_command(std::shared_ptr<session> owner, std::uint32_t id)
    : owner_{std::move(owner)}, id_{id}
{
}

void guest_command::write_stdin(std::string_view bytes)
{
	owner_->write_input(id_, bytes);
}

void guest_command::close_stdin()
{
	owner_->close_input(id_);
}

void guest_command::signal(int number)
{
	owner_->signal(id_, number);
}

void guest_command::kill9()
{
	owner_->signal(id_, SIGKILL);
	owner_->wait(id_, nominal::command);
}

bool guest_command::running() const
{
	return owner_->running(id_);
}

result guest_command::wait(milliseconds limit)
{
	return owner_->wait(id_, limit);
}

std::optional<result> guest_command::wait_for(milliseconds limit)
{
	return owner_->wait_for(id_, limit);
}

std::string guest_command::out() const
{
	return owner_->output(id_);
}

std::string guest_command::err() const
{
	return owner_->errors(id_);
}

std::string guest_command::read()
{
	return owner_->read_output(id_);
}

void guest_command::wait_output(std::string_view text, milliseconds limit)
{
	owner_->wait_output(id_, text, limit);
}

} // namespace harness
