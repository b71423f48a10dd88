// SPDX-License-Identifier: MIT
#include "ivshmem_protocol.hpp"

#include <cerrno>
#include <cstring>

#include <endian.h>
#include <sys/socket.h>

namespace kvmchan::ivshmem {
namespace {

/* Room for more descriptors than are legal, so that they are seen and closed. */
constexpr std::size_t control_fds = 8;

/*
 * Takes the descriptors out of a received message. False when there are more
 * than the one that is allowed, over all pieces of the message.
 */
bool take_descriptors(msghdr &header, unique_fd &slot) noexcept
{
	bool good = true;

	for (cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;

		const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (std::size_t i = 0; i < count; ++i) {
			int raw = -1;

			std::memcpy(&raw, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			unique_fd fd{raw};

			if (slot)
				good = false;
			else
				slot = std::move(fd);
		}
	}
	return good;
}

} // namespace

wire_message encode(std::int64_t value) noexcept
{
	const std::uint64_t word = htole64(static_cast<std::uint64_t>(value));
	wire_message bytes;

	std::memcpy(bytes.data(), &word, sizeof(word));
	return bytes;
}

std::int64_t decode(const wire_message &bytes) noexcept
{
	std::uint64_t word = 0;

	std::memcpy(&word, bytes.data(), sizeof(word));
	return static_cast<std::int64_t>(le64toh(word));
}

std::size_t send_part(int socket, const wire_message &message, std::size_t sent, int fd,
                      std::error_code &ec) noexcept
{
	alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
	iovec vector{const_cast<std::byte *>(message.data()) + sent, message.size() - sent};
	msghdr header{};

	header.msg_iov = &vector;
	header.msg_iovlen = 1;
	if (fd >= 0 && sent == 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);

		cmsghdr *const c = CMSG_FIRSTHDR(&header);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		std::memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	for (;;) {
		const ssize_t length = ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (length >= 0) {
			ec.clear();
			return static_cast<std::size_t>(length);
		}
		if (errno != EINTR) {
			ec.assign(errno, std::system_category());
			return 0;
		}
	}
}

incoming::result incoming::receive(int socket, std::error_code &ec) noexcept
{
	alignas(cmsghdr) char control[CMSG_SPACE(control_fds * sizeof(int))];
	msghdr header{};

	ec.clear();
	if (received_ == message_size || received_ == 0) {
		received_ = 0;
		fd_.reset();
	}
	while (received_ < message_size) {
		iovec vector{bytes_.data() + received_, message_size - received_};

		header.msg_iov = &vector;
		header.msg_iovlen = 1;
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		header.msg_flags = 0;

		const ssize_t length = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return result::would_block;
		if (length < 0) {
			ec.assign(errno, std::system_category());
			return result::failed;
		}
		if (!take_descriptors(header, fd_) || (header.msg_flags & MSG_CTRUNC) != 0) {
			fd_.reset();
			ec = std::make_error_code(std::errc::protocol_error);
			return result::failed;
		}
		if (length == 0 && received_ == 0)
			return result::end_of_stream;
		if (length == 0) {
			fd_.reset();
			ec = std::make_error_code(std::errc::protocol_error);
			return result::failed;
		}
		received_ += static_cast<std::size_t>(length);
	}
	return result::complete;
}

} // namespace kvmchan::ivshmem
