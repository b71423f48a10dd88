// SPDX-License-Identifier: MIT
// What one server leaves to the next, beside descriptors.
#ifndef KVMCHAN_SERVER_HANDOVER_STATE_HPP
#define KVMCHAN_SERVER_HANDOVER_STATE_HPP

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "unique_fd.hpp"

namespace kvmchan {

/** A message that is queued for a client. */
struct message_state {
	std::int64_t value = 0;
	std::string fd;				/* name of its descriptor; empty: none */
};

struct peer_state {
	std::uint16_t id = 0;
	std::string vm;
	bool connected = false;
	std::uint64_t joined = 0;
	/** Messages are on their way to it: how many it has got is not known. */
	bool sending = false;
	std::size_t head_sent = 0;		/* bytes of the first queued message */
	std::vector<message_state> queue;
};

struct vm_state {
	std::string name;
	std::uint16_t id = 0;
	std::string socket;

	bool operator==(const vm_state &) const = default;
};

/** What has to be the same for clients to stay connected. */
struct region_shape {
	std::string name, socket, memory_name;
	std::uint64_t size = 0;
	int memory = 0;
	unsigned vectors = 0;
	bool raw = false;
	std::vector<vm_state> vms;

	bool operator==(const region_shape &) const = default;
};

struct region_state {
	region_shape shape;
	unsigned tag = 0;			/* begins the names of its descriptors */
	bool made_memory = false;		/* its name goes with the region */
	std::uint64_t tick = 0;
	std::uint16_t next_id = 0;
	std::vector<std::pair<std::uint16_t, std::uint64_t>> resting;
	std::vector<std::uint16_t> parked;
	std::vector<peer_state> peers;
	std::vector<std::string> configured;
};

struct server_state {
	std::uint64_t sequence = 0;
	std::int64_t pid = 0;			/* of the process that left it */
	std::vector<region_state> regions;
};

/** Descriptors by name: what is to be handed over, and what has been. */
using fd_names = std::map<std::string, int>;
using fd_bag = std::map<std::string, unique_fd>;

/** A region that a former server has left. */
struct inherited_region {
	region_state state;
	fd_bag fds;

	/** Throws std::system_error (bad_file_descriptor) when there is none. */
	unique_fd take(const std::string &name);
};

inline constexpr int handover_version = 1;

std::string encode_state(const server_state &state);
/** Throws std::system_error (bad_message): damaged, or of another version. */
server_state decode_state(const std::string &text);

/** Names of a region's descriptors. @p which: 0 the region's, 1 control, 2 + ID a VM's. */
std::string memory_fd_name(unsigned tag);
/** The description of the memory that clients get. */
std::string client_memory_fd_name(unsigned tag);
std::string manager_fd_name(unsigned tag);
std::string socket_fd_name(unsigned tag, unsigned which);
std::string lock_fd_name(unsigned tag, unsigned which);
std::string client_fd_name(unsigned tag, std::uint64_t joined);
std::string bell_fd_name(unsigned tag, std::uint16_t peer, std::size_t vector);
/** Of a peer that has left, in a message that still waits. */
std::string queued_fd_name(unsigned tag, std::uint64_t joined, std::size_t index);

} // namespace kvmchan

#endif
