// SPDX-License-Identifier: MIT
#include "host_ends.hpp"

#include "bell_end.hpp"
#include "block_ends.hpp"
#include "library_end.hpp"
#include "fd_end.hpp"
#include "sockets.hpp"
#ifdef BENCH_MAPPED
#include "mapped_end.hpp"
#endif

#include "unix_socket.hpp"

#include <stdexcept>

#include <fcntl.h>

namespace bench {

namespace {

constexpr unsigned host_side = 0;

/* As many as a writev() in the guest takes at a time. */
constexpr std::size_t batch = 16;

} // namespace

host_ends::host_ends(machine &at) : machine_{at}
{
	auto bell = std::make_unique<bell_end>(at.bell_server().socket());
	bell_id_ = std::to_string(bell->id());
	bell_ = std::move(bell);
}

std::shared_ptr<kvmchan::channel> host_ends::channel(const std::string &slot)
{
	auto &known = channels_[slot];
	if (!known) {
		kvmchan::channel_options options;
		if (slot == "nospin")
			options.busy_poll = std::chrono::nanoseconds{0};
		known = std::make_shared<kvmchan::channel>(machine_.region(0), slot, options);
	}
	return known;
}

many_channels &host_ends::group(const std::string &prefix)
{
	const auto open = [this, prefix](std::size_t index) {
		return kvmchan::channel{machine_.region(index), prefix + std::to_string(index)};
	};
	return groups_.try_emplace(prefix, open).first->second;
}

std::string host_ends::where(const std::string &path) const
{
	for (const auto &each : machine_.networks()) {
		if (each.path() == path)
			return each.address();
	}
	if (path == "doorbell")
		return bell_id_;
	if (path == "vsock")
		return std::to_string(machine_.vsock() ? port_of(machine_.vsock()) : 0);
	return "bench"; // virtio-serial
}

std::unique_ptr<end> host_ends::accept(const std::string &path)
{
	for (const auto &each : machine_.networks()) {
		if (each.path() == path)
			return std::make_unique<fd_end>(accept_one(each.listener()));
	}
	throw std::runtime_error{"no transport " + path};
}

std::unique_ptr<end> host_ends::open(const std::string &path, const std::string &where)
{
	if (path == "kvmchan" || path == "kvmchan-packet" || path == "sendfile" || path == "io_uring")
		return std::make_unique<library_end>(channel(where));
	if (path == "kvmchan-writev")
		return std::make_unique<library_end>(channel(where), batch);
#ifdef BENCH_MAPPED
	if (path == "kvmchan-mapped" || path == "kvmchan-mapped-packet")
		return std::make_unique<mapped_end>(kvmchan::channel{machine_.region(0), where});
#endif
	if (path == "raw-ring" || path == "raw-ring-calls" || path == "raw-ring-asking")
		return std::make_unique<ring_end>(kvmchan::memory_block{machine_.region(0), where}, host_side, path == "raw-ring-asking");
	if (path == "handoff")
		return std::make_unique<handoff_end>(kvmchan::memory_block{machine_.region(0), where}, host_side);
	if (path == "doorbell")
		return std::move(bell_);
	if (path == "virtio-serial") {
		std::error_code ec;
		auto fd = kvmchan::unix_connect(machine_.serial_socket(), ec);
		if (ec)
			throw std::system_error{ec, machine_.serial_socket()};
		::fcntl(fd.get(), F_SETFL, 0); // blocking
		return std::make_unique<fd_end>(std::move(fd));
	}
	if (path == "vsock")
		return std::make_unique<fd_end>(accept_one(machine_.vsock()));
	return accept(path);
}

end &host_ends::get(const job &what)
{
	auto &known = ends_[{what.path, what.where}];
	if (!known)
		known = open(what.path, what.where);
	return *known;
}

} // namespace bench
