// SPDX-License-Identifier: MIT
#include "channel_end.hpp"

#include <kvmchan/device.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <thread>

#include <poll.h>

namespace torture {

namespace {

using namespace std::chrono_literals;
using kvmchan::event;

std::string end_of(const std::error_code &ec, bool ended, const char *in_order)
{
	if (!ended)
		return "-";
	if (ec == std::errc::broken_pipe)
		return "pipe";
	return ec ? std::to_string(ec.value()) : in_order;
}

/* In a guest there need not be udev's names. */
std::optional<std::string> node_of(const std::string &name)
{
	for (const auto &node : kvmchan::nodes()) {
		if (name == static_cast<const char *>(node.name))
			return std::string{"/dev/"} + static_cast<const char *>(node.node);
	}
	return std::nullopt;
}

bool comes_back(const std::error_code &ec)
{
	return ec == std::errc::no_such_device || ec == std::errc::no_such_file_or_directory ||
	       ec == std::errc::no_such_device_or_address;
}

} // namespace

void say(const report &what)
{
	static std::mutex mutex;
	const std::lock_guard lock{mutex};
	std::cout << to_line(what) << std::flush;
}

channel_end::channel_end(const end_options &options, const commands &asked, channel_progress &progress,
                         std::string name, unsigned number)
	: options_{options}, asked_{asked}, progress_{progress}, name_{std::move(name)}, number_{number},
	  random_{static_cast<std::minstd_rand::result_type>(options.seed * 97 + number + options.instance * 31)}
{
	if (progress_.my != 0)
		tell("former");
}

void channel_end::tell(const char *what, const session *s, const std::string &note) const
{
	const auto now = std::chrono::steady_clock::now().time_since_epoch();
	report r{.what = what,
	         .time = static_cast<std::uint64_t>(std::chrono::nanoseconds{now}.count()),
	         .my = progress_.my,
	         .peer = progress_.peer,
	         .intended = progress_.intended,
	         .accepted = progress_.accepted,
	         .received = progress_.received,
	         .note = note};
	if (s) {
		r.reading = end_of(s->in.error(), !s->receiving, "eof");
		r.writing = end_of(s->out.error(), !s->sending, "shut");
	}
	say(r);
}

/* A device may be on its way, and a side may not be free yet. */
kvmchan::channel channel_end::open()
{
	for (;;) {
		try {
			if (options_.region)
				return {*options_.region, name_, {.side = options_.side}};
			if (const auto node = node_of(name_))
				return kvmchan::channel{*node};
		} catch (const std::system_error &error) {
			if (!comes_back(error.code()) && error.code() != std::errc::device_or_resource_busy)
				throw;
		}
		std::this_thread::sleep_for(2ms);
	}
}

/* So that rings run empty, and their readers sleep. */
void channel_end::rest()
{
	if (random_() % 64 == 0)
		std::this_thread::sleep_for(std::chrono::microseconds{random_() % 3000});
}

/* False when nothing can be done now. */
bool channel_end::send_once(session &s)
{
	if (asked_.finishing()) {
		s.out.shut();
		s.sending = false;
		return true;
	}
	const auto done = s.out.write();
	s.sending = done != step::ended;
	return done != step::would_block;
}

bool channel_end::receive_once(session &s)
{
	const auto done = s.in.read();
	s.receiving = done != step::ended;
	return done != step::would_block;
}

void channel_end::send_all(session &s, bool waits)
{
	while (s.sending) {
		rest();
		std::error_code ec;
		if (!send_once(s) && waits)
			s.channel.wait_for(event::writable, -1ns, ec);
	}
}

void channel_end::receive_all(session &s, bool waits)
{
	while (s.receiving) {
		std::error_code ec;
		if (!receive_once(s) && waits)
			s.channel.wait_for(event::readable, -1ns, ec);
	}
}

void channel_end::run_in_two_threads(session &s, bool waits)
{
	s.channel.non_blocking(waits);
	std::thread reader{[&] {
		try {
			receive_all(s, waits);
		} catch (const wrong_bytes &wrong) {
			tell("wrong", nullptr, wrong.what());
			std::_Exit(3);
		}
	}};
	send_all(s, waits);
	reader.join();
}

/* As an event loop has it: both until they would block, then the handle. */
void channel_end::run_in_one_thread(session &s)
{
	s.channel.non_blocking(true);
	while (s.sending || s.receiving) {
		const bool sent = s.sending && send_once(s);
		const bool received = s.receiving && receive_once(s);
		rest();
		if (sent || received || !(s.sending || s.receiving))
			continue;
		pollfd ready{s.channel.native_handle(), POLLIN, 0};
		::poll(&ready, 1, -1);
	}
}

bool channel_end::run_session(kvmchan::channel &channel)
{
	const auto tag = make_tag({options_.side, number_, options_.instance, ++session_});
	progress_.begin(tag);
	session s{.channel = channel,
	          .out = {channel, tag, progress_, random_(), options_.windows},
	          .in = {channel, progress_, random_(), options_.windows, [this](std::uint64_t) { tell("paired"); }}};
	const auto manner = random_() % 3;
	if (manner == 0)
		run_in_one_thread(s);
	else
		run_in_two_threads(s, manner == 1);
	tell("over", &s);
	finished_ = asked_.finishing() && !s.in.error() && s.out.is_shut();
	return s.in.error() != std::errc::no_such_device && s.out.error() != std::errc::no_such_device;
}

/* Until it is to be opened anew: one half of the times, or when it went. */
void channel_end::run_sessions(kvmchan::channel &channel)
{
	while (run_session(channel) && !finished_ && random_() % 2 == 0)
		channel.reconnect();
}

void channel_end::run()
{
	while (!finished_) {
		auto channel = open();
		try {
			run_sessions(channel);
		} catch (const std::system_error &error) {
			if (!comes_back(error.code()))
				throw;
		}
	}
}

} // namespace torture
