// SPDX-License-Identifier: MIT
#include "ends.hpp"

#include "block_ends.hpp"
#include "called_end.hpp"
#include "doorbell_end.hpp"
#include "fd_end.hpp"
#include "sendfile_end.hpp"
#include "sockets.hpp"
#include "uring_end.hpp"
#ifdef BENCH_MAPPED
#include "mapped_end.hpp"
#endif

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <fcntl.h>

namespace bench {

namespace {

using kvmchan::unique_fd;

/* SLOT, or SLOT@SIDE where the guest is not side 1. */
struct block_name {
	std::string slot;
	unsigned side = 1;

	explicit block_name(const std::string &text) : slot{text.substr(0, text.find('@'))}
	{
		if (slot.size() < text.size())
			side = static_cast<unsigned>(std::stoul(text.substr(slot.size() + 1)));
	}
};

std::string device(const std::string &slot)
{
	return "/dev/kvmchan/by-name/" + slot;
}

kvmchan::memory_block block(const std::string &name)
{
	return kvmchan::memory_block{device(block_name{name}.slot)};
}

/* ADDRESS:PORT, or listen:ADDRESS:PORT. */
unique_fd open_tcp(const std::string &where)
{
	const std::string listen = "listen:";
	if (!where.starts_with(listen))
		return connect_tcp(where);
	const auto address = where.substr(listen.size());
	const auto colon = address.find(':');
	return accept_one(listen_tcp(address.substr(0, colon), static_cast<unsigned>(std::stoul(address.substr(colon + 1)))));
}

unique_fd open_file(const std::string &path)
{
	unique_fd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
	if (!fd)
		throw std::system_error{errno, std::generic_category(), path};
	return fd;
}

/* The node of a virtio-serial port, by the name that QEMU was given. */
std::string serial_port(const std::string &wanted)
{
	for (const auto &entry : std::filesystem::directory_iterator{"/sys/class/virtio-ports"}) {
		std::string name;
		std::getline(std::ifstream{entry.path() / "name"}, name);
		if (name == wanted)
			return "/dev" / entry.path().filename();
	}
	throw std::runtime_error{"no virtio-serial port " + wanted};
}

} // namespace

unique_fd guest_ends::node(const std::string &slot)
{
	auto &known = nodes_[slot];
	if (!known)
		known = open_file(device(slot));
	return unique_fd{::fcntl(known.get(), F_DUPFD_CLOEXEC, 0)};
}

std::unique_ptr<end> guest_ends::open(const std::string &path, const std::string &where)
{
	if (path == "kvmchan" || path == "kvmchan-packet")
		return std::make_unique<fd_end>(node(where));
	if (path == "kvmchan-writev")
		return std::make_unique<writev_end>(node(where));
	if (path == "sendfile")
		return std::make_unique<sendfile_end>(node(where));
	if (path == "io_uring")
		return std::make_unique<uring_end>(node(where));
#ifdef BENCH_MAPPED
	if (path == "kvmchan-mapped" || path == "kvmchan-mapped-packet")
		return std::make_unique<mapped_end>(kvmchan::channel{device(where)});
#endif
	if (path == "raw-ring" || path == "raw-ring-asking")
		return std::make_unique<ring_end>(block(where), block_name{where}.side, path == "raw-ring-asking");
	if (path == "raw-ring-calls")
		return std::make_unique<called_end>(std::make_unique<ring_end>(block(where), block_name{where}.side),
		                                    open_file("/dev/bench-null"));
	if (path == "handoff")
		return std::make_unique<handoff_end>(block(where), block_name{where}.side);
	if (path == "memcpy")
		return std::make_unique<memcpy_end>(block(where));
	if (path == "null-copy" || path == "null-write")
		return std::make_unique<fd_end>(open_file(where));
	if (path == "doorbell")
		return std::make_unique<doorbell_end>(open_file("/dev/bench-doorbell"),
		                                      static_cast<std::uint16_t>(std::stoul(where)));
	if (path == "virtio-serial")
		return std::make_unique<fd_end>(open_file(serial_port(where)));
	if (path.starts_with("tcp"))
		return std::make_unique<fd_end>(open_tcp(where));
	if (path == "vsock")
		return std::make_unique<fd_end>(connect_vsock(static_cast<unsigned>(std::stoul(where))));
	throw std::runtime_error{"no transport " + path};
}

end &guest_ends::get(const job &what)
{
	auto &known = ends_[{what.path, what.where}];
	if (!known)
		known = open(what.path, what.where);
	return *known;
}

} // namespace bench
