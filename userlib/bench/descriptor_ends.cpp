// SPDX-License-Identifier: MIT
#include "descriptor_ends.hpp"

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kvmchan::bench {
namespace {

constexpr int buffer_size = 1 << 20;

int checked(int result, const char *what)
{
	if (result < 0)
		throw std::system_error{errno, std::system_category(), what};
	return result;
}

std::pair<unique_fd, unique_fd> make_pipe()
{
	std::array<int, 2> fds{};

	checked(::pipe2(fds.data(), O_CLOEXEC), "pipe");
	/* The kernel says how much it allows: less is no error of ours. */
	::fcntl(fds[0], F_SETPIPE_SZ, buffer_size);
	return {unique_fd{fds[0]}, unique_fd{fds[1]}};
}

unique_fd make_socket(int family)
{
	unique_fd made{checked(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")};

	return made;
}

void widen(int socket)
{
	::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer_size, sizeof(buffer_size));
	::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof(buffer_size));
}

/* Each message goes out at once. The kernel sizes TCP's buffers better itself. */
void hurry(int socket)
{
	const int on = 1;

	checked(::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
}

} // namespace

void descriptor_end::send(std::span<const std::byte> message)
{
	while (!message.empty()) {
		const ssize_t n = ::write(out(), message.data(), message.size());

		checked(static_cast<int>(n), "write");
		message = message.subspan(static_cast<std::size_t>(n));
	}
}

void descriptor_end::recv(std::span<std::byte> message)
{
	while (!message.empty()) {
		const ssize_t n = ::read(in(), message.data(), message.size());

		if (!checked(static_cast<int>(n), "read"))
			throw std::runtime_error{"the other end is gone"};
		message = message.subspan(static_cast<std::size_t>(n));
	}
}

descriptor_pair descriptor_pair::pipes()
{
	auto [there_in, there_out] = make_pipe();
	auto [back_in, back_out] = make_pipe();

	return {{std::move(back_in), std::move(there_out)}, {std::move(there_in), std::move(back_out)}};
}

descriptor_pair descriptor_pair::unix_sockets()
{
	std::array<int, 2> fds{};

	checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), "socketpair");
	for (const int fd : fds)
		widen(fd);
	return {{unique_fd{fds[0]}, {}}, {unique_fd{fds[1]}, {}}};
}

descriptor_pair descriptor_pair::tcp_loopback()
{
	const unique_fd listener = make_socket(AF_INET);
	sockaddr_in address{};
	socklen_t length = sizeof(address);
	auto *const any = reinterpret_cast<sockaddr *>(&address);

	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	checked(::bind(listener.get(), any, length), "bind");
	checked(::listen(listener.get(), 1), "listen");
	checked(::getsockname(listener.get(), any, &length), "getsockname");
	unique_fd a = make_socket(AF_INET);

	checked(::connect(a.get(), any, length), "connect");
	unique_fd b{checked(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept")};

	hurry(a.get());
	hurry(b.get());
	return {{std::move(a), {}}, {std::move(b), {}}};
}

} // namespace kvmchan::bench
