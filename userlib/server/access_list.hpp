// SPDX-License-Identifier: MIT
// Who may connect.
#ifndef KVMCHAN_SERVER_ACCESS_LIST_HPP
#define KVMCHAN_SERVER_ACCESS_LIST_HPP

#include <vector>

#include <sys/types.h>

#include "unix_socket.hpp"

namespace kvmchan {

/**
 * The users and groups that a socket admits, beside what its file's permissions
 * let through: root, our own user, our own group, and those that are added. A
 * connection whose credentials cannot be read is refused.
 */
class access_list {
public:
	access_list();

	void allow_uid(uid_t uid) { uids_.push_back(uid); }
	void allow_gid(gid_t gid) { gids_.push_back(gid); }

	/** @p fd: the connection; its supplementary groups count, too. */
	bool admits(int fd, const peer_credentials &who) const;

private:
	std::vector<uid_t> uids_;
	std::vector<gid_t> gids_;
};

} // namespace kvmchan

#endif
