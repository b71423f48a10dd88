// SPDX-License-Identifier: MIT
// Bytes and descriptors, sent as nobody should.
#ifndef KVMCHAN_FUZZ_PASSING_HPP
#define KVMCHAN_FUZZ_PASSING_HPP

#include <array>
#include <cstring>
#include <span>
#include <utility>

#include <sys/socket.h>

#include "require.hpp"
#include "unique_fd.hpp"

namespace kvmchan::fuzz {

inline constexpr std::size_t most_passed = 4;

inline std::pair<unique_fd, unique_fd> connected_sockets()
{
	int ends[2];

	require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "sockets are made");
	return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

/** Whether all of it is on its way. */
inline bool pass(int socket, std::span<const std::uint8_t> bytes, std::span<const int> fds)
{
	alignas(cmsghdr) std::array<char, CMSG_SPACE(most_passed * sizeof(int))> control{};
	iovec vector{const_cast<std::uint8_t *>(bytes.data()), bytes.size()};
	msghdr header{};

	header.msg_iov = &vector;
	header.msg_iovlen = 1;
	if (!fds.empty()) {
		header.msg_control = control.data();
		header.msg_controllen = CMSG_SPACE(fds.size_bytes());

		cmsghdr *const c = CMSG_FIRSTHDR(&header);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds.size_bytes());
		std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
	}
	return ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(bytes.size());
}

} // namespace kvmchan::fuzz

#endif
