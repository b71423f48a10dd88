// SPDX-License-Identifier: MIT
// Landlock: takes from a process what it need not reach in the file system.
#ifndef KVMCHAN_SERVER_LANDLOCK_HPP
#define KVMCHAN_SERVER_LANDLOCK_HPP

#include <cstdint>
#include <filesystem>
#include <vector>

namespace kvmchan::landlock {

/** What may be done with a file, or with all below a directory; to be combined. */
enum right : unsigned {
	read_files = 1,
	write_files = 2,	/* and truncate */
	make_files = 4,		/* regular files and sockets */
	remove_files = 8,
	execute_files = 16,
	list = 32,
};

struct rule {
	std::filesystem::path path;
	unsigned rights = 0;
};

/** Version of the kernel's interface; 0: it has none, or it is switched off. */
int abi() noexcept;

/**
 * For the calling thread and what it starts, for ever: nothing in the file system
 * but what @p rules say, and, from the versions on that have it, no TCP (4), no
 * ioctl on devices (5), no signals to other processes (6); @p abstract_sockets
 * are let through. A rule whose path does not exist is left out. NO_NEW_PRIVS has
 * to be set. Throws std::system_error.
 */
void confine(const std::vector<rule> &rules, int version, bool abstract_sockets);

} // namespace kvmchan::landlock

#endif
