// SPDX-License-Identifier: MIT
// What a server is to serve.
#ifndef KVMCHAN_SERVER_CONFIG_HPP
#define KVMCHAN_SERVER_CONFIG_HPP

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/types.h>

#include "manager.hpp"

namespace kvmchan {

enum class memory_kind {
	memfd,		/* anonymous, sealed: nobody can make another one fault */
	shm,		/* POSIX shared memory by name */
	file,		/* a path, for instance in a hugetlbfs directory */
	directory,	/* a file without a name there, as ivshmem-server -m */
};

/** A VM with a socket of its own, and so an ivshmem ID of its own. */
struct vm_config {
	std::string name;
	std::optional<std::uint16_t> id;	/* unset: the next free one from 1 */
	std::filesystem::path socket;		/* empty: "<region's socket>.<name>" */
};

/** A slot as it is written: its sides are names until they are resolved. */
struct slot_config {
	slot_spec spec;
	/** "host", "any", a VM's name or an ID; empty: host and any. */
	std::array<std::string, 2> sides;
	/** Where it was written, for messages: "kvmchan.toml:12" or a flag. */
	std::string origin;
};

struct region_config {
	std::string name = "kvmchan";
	std::uint64_t size = std::uint64_t{16} << 20;
	memory_kind memory = memory_kind::memfd;
	std::string memory_name;		/* shm: object; else a path */
	bool keep_memory = false;		/* leave what we made behind at exit */
	bool raw = false;			/* do not format: no table, no slots */
	std::uint32_t table_slots = 0;		/* 0: by size */
	unsigned vectors = 8;			/* eventfds that each client gets */
	std::filesystem::path socket;
	mode_t mode = 0660;
	std::optional<gid_t> group;		/* of the sockets, admitted as well */
	std::vector<uid_t> allow_uids;		/* beside root and ourselves */
	std::vector<gid_t> allow_gids;
	unsigned max_clients = 256;
	std::chrono::milliseconds client_deadline{10'000};
	std::vector<vm_config> vms;
	std::vector<slot_config> slots;
};

struct server_config {
	std::vector<region_config> regions;
};

inline constexpr unsigned region_vectors_max = 2048;
inline constexpr unsigned region_clients_max = 65536;

/**
 * Checks one region's settings against each other and against the limits, gives
 * the VMs their IDs and sockets and resolves the slots' sides.
 * Throws std::system_error (invalid_argument) that names what is wrong.
 */
void complete(region_config &region);
/** Each region, and that no two share a name or a socket. */
void complete(server_config &config);

/**
 * Reads a configuration file. Throws std::system_error (invalid_argument, or of
 * opening the file) with "file:line:column: key: what is wrong, and the limit".
 */
server_config load_config(const std::filesystem::path &file);

/**
 * Reads "name[:mode[:size[,size]]]" of --channel and "name:size" of --memory;
 * mode is stream or packet, the sizes are of side 0's ring and side 1's.
 * Throws std::system_error (invalid_argument).
 */
slot_config parse_channel_flag(std::string_view text);
slot_config parse_memory_flag(std::string_view text);

/** What an error says, without the words of its code where they add nothing. */
std::string error_text(const std::system_error &error);

/** "host", "any", or a number: how a side is shown. */
std::string side_text(std::uint32_t side);

} // namespace kvmchan

#endif
