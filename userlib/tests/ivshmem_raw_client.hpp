// SPDX-License-Identifier: MIT
// An ivshmem client by hand: shares no code with what it tests.
#ifndef KVMCHAN_TESTS_IVSHMEM_RAW_CLIENT_HPP
#define KVMCHAN_TESTS_IVSHMEM_RAW_CLIENT_HPP

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <vector>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace kvmchan::testing {

struct raw_message {
	unsigned char bytes[8] = {};
	int fd = -1;
	bool cut = false;	/* its descriptor did not fit into this process */

	std::int64_t value() const
	{
		std::int64_t word = 0;

		std::memcpy(&word, bytes, sizeof(word));
		return word;
	}
};

class raw_client {
public:
	explicit raw_client(const std::filesystem::path &path)
	{
		sockaddr_un address{};

		fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		address.sun_family = AF_UNIX;
		std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
		if (::connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0)
			throw std::runtime_error{"connect " + path.string() + ": " + std::strerror(errno)};
	}
	raw_client(raw_client &&other) noexcept : fd_{other.fd_}, kept_{std::move(other.kept_)}
	{
		other.fd_ = -1;
		other.kept_.clear();
	}
	raw_client &operator=(raw_client &&) = delete;
	~raw_client() { close(); }

	void close()
	{
		if (fd_ >= 0)
			::close(fd_);
		fd_ = -1;
		forget();
	}

	/* The next message; none at the end of the stream or after the time-out. */
	std::optional<raw_message> next(int timeout_ms = 30'000)
	{
		pollfd entry{fd_, POLLIN, 0};

		if (::poll(&entry, 1, timeout_ms) != 1)
			return std::nullopt;
		return next_now();
	}

	/* The next message if it is there. */
	std::optional<raw_message> next_now()
	{
		alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		raw_message message;
		iovec vector{message.bytes, sizeof(message.bytes)};
		msghdr header{};

		header.msg_iov = &vector;
		header.msg_iovlen = 1;
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		if (::recvmsg(fd_, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 8)
			return std::nullopt;
		message.cut = (header.msg_flags & MSG_CTRUNC) != 0;
		if (const cmsghdr *c = CMSG_FIRSTHDR(&header)) {
			std::memcpy(&message.fd, CMSG_DATA(c), sizeof(int));
			kept_.push_back(message.fd);
		}
		return message;
	}

	std::vector<raw_message> take(std::size_t count)
	{
		std::vector<raw_message> messages;

		while (messages.size() < count) {
			const auto message = next();

			if (!message)
				break;
			messages.push_back(*message);
		}
		return messages;
	}

	/* Is the connection over? Takes nothing else. */
	bool ended(int timeout_ms = 30'000)
	{
		for (;;) {
			pollfd entry{fd_, POLLIN, 0};
			char byte = 0;

			if (::poll(&entry, 1, timeout_ms) != 1)
				return false;
			const ssize_t length = ::recv(fd_, &byte, 1, MSG_PEEK);

			if (length <= 0)
				return true;
			if (!next(0))
				return true;
		}
	}

	/* Closes what came with messages. */
	void forget()
	{
		for (const int fd : kept_)
			::close(fd);
		kept_.clear();
	}

	/* What came with messages is the caller's. */
	void disown() { kept_.clear(); }

	bool send(const void *data, std::size_t size) { return ::send(fd_, data, size, MSG_NOSIGNAL) >= 0; }
	int fd() const { return fd_; }

private:
	int fd_ = -1;
	std::vector<int> kept_;
};

} // namespace kvmchan::testing

#endif
