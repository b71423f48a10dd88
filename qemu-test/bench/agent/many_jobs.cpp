// SPDX-License-Identifier: MIT
#include "many_jobs.hpp"

#include "fd_end.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <immintrin.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace bench {

namespace {

using kvmchan::unique_fd;

constexpr const char *directory = "/dev/kvmchan/by-name/";

/* Stands at the line and looks, so that what follows is all that is timed. */
void start(control &words)
{
	words.ready.store(1);
	while (!words.go.load())
		_mm_pause();
}

void open_write(const std::string &name, control &words)
{
	const auto device = directory + name;
	start(words);
	const unique_fd fd{::open(device.c_str(), O_RDWR | O_CLOEXEC)};
	checked(fd ? ::write(fd.get(), "x", 1) : -1, device.c_str());
	while (!words.stop.load())
		std::this_thread::sleep_for(std::chrono::milliseconds{1});
}

void ready_drain(many_channels &group, control &words)
{
	const unique_fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
	for (const auto &channel : group.channels()) {
		const int fd = channel.device_handle();
		epoll_event interest{.events = EPOLLIN, .data = {.fd = fd}};
		::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &interest);
	}
	start(words);
	std::array<epoll_event, 64> events;
	std::array<std::byte, 64> room;
	for (std::size_t left = group.size(); left > 0;) {
		const auto n = checked(::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), -1), "epoll_wait");
		for (std::size_t i = 0; i < n; ++i)
			left -= checked(::read(events[i].data.fd, room.data(), room.size()), "read");
	}
	words.done.store(1);
}

} // namespace

bool many_jobs::knows(std::string_view op) const
{
	return op.starts_with("many-") || op.ends_with("-nodes") || op == "hold" || op == "ready-drain" || op == "open-write";
}

many_channels &many_jobs::group(const std::string &prefix)
{
	const auto open = [prefix](std::size_t index) {
		return kvmchan::channel{directory + prefix + std::to_string(index)};
	};
	return groups_.try_emplace(prefix, open).first->second;
}

void many_jobs::open_nodes(const job &what, control &words)
{
	nodes_.reserve(what.count);
	start(words);
	for (std::size_t i = 0; i < what.count; ++i) {
		const auto device = directory + what.where + std::to_string(i);
		nodes_.emplace_back(::open(device.c_str(), O_RDWR | O_CLOEXEC));
		if (!nodes_.back())
			throw std::system_error{errno, std::generic_category(), device};
	}
	words.done.store(1);
}

std::string many_jobs::perform(const job &what, control &words)
{
	if (what.op == "open-write") {
		open_write(what.where, words);
		return {};
	}
	if (what.op == "open-nodes") {
		open_nodes(what, words);
		return {};
	}
	if (what.op == "close-nodes") {
		nodes_.clear();
		return {};
	}
	auto &channels = group(what.where);
	channels.resize(what.count);
	if (what.op == "many-source")
		channels.source(what.size, what.offset, words);
	else if (what.op == "many-sink")
		channels.sink(what.size, what.offset, words);
	else if (what.op == "ready-drain")
		ready_drain(channels, words);
	else if (what.op != "hold")
		throw std::runtime_error{"no such operation: " + what.op};
	return {};
}

} // namespace bench
