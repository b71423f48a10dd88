// SPDX-License-Identifier: MIT
#include "access_list.hpp"

#include <algorithm>
#include <cerrno>

#include <sys/socket.h>
#include <unistd.h>

namespace kvmchan {
namespace {

template <typename T>
bool contains(const std::vector<T> &list, T value)
{
	return std::find(list.begin(), list.end(), value) != list.end();
}

std::vector<gid_t> supplementary_groups(int fd)
{
	std::vector<gid_t> groups(32);

	for (;;) {
		auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
		const int result = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);

		groups.resize(length / sizeof(gid_t));
		if (result == 0)
			return groups;
		if (errno != ERANGE)
			return {};
	}
}

} // namespace

access_list::access_list()
	: uids_{0, ::geteuid()}, gids_{::getegid()}
{
}

bool access_list::admits(int fd, const peer_credentials &who) const
{
	if (who.pid < 0)
		return false;
	if (contains(uids_, who.uid) || contains(gids_, who.gid))
		return true;
	const auto groups = supplementary_groups(fd);

	return std::any_of(groups.begin(), groups.end(), [&](gid_t gid) { return contains(gids_, gid); });
}

} // namespace kvmchan
