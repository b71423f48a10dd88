// SPDX-License-Identifier: MIT
#include "sockets.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

namespace bench {

namespace {

using kvmchan::unique_fd;

constexpr unsigned tries = 200;

[[noreturn]] void fail(const std::string &what)
{
	throw std::system_error{errno, std::generic_category(), what};
}

void no_delay(const unique_fd &fd)
{
	const int on = 1;
	::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

sockaddr_in internet(const std::string &ip, unsigned port)
{
	sockaddr_in out{};
	out.sin_family = AF_INET;
	out.sin_port = htons(static_cast<std::uint16_t>(port));
	if (::inet_pton(AF_INET, ip.c_str(), &out.sin_addr) != 1) {
		errno = EINVAL;
		fail(ip);
	}
	return out;
}

template <typename Address>
unique_fd listen_at(const Address &address, int family)
{
	unique_fd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
	    ::listen(fd.get(), 8) != 0)
		fail("listen");
	return fd;
}

template <typename Address>
unique_fd connect_to(const Address &address, int family, const std::string &name)
{
	unique_fd fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
		fail("connect to " + name);
	return fd;
}

} // namespace

unique_fd connect_tcp(const std::string &address)
{
	const auto colon = address.find(':');
	const auto port = static_cast<unsigned>(std::stoul(address.substr(colon + 1)));
	const auto to = internet(address.substr(0, colon), port);
	for (auto left = tries;; --left) {
		try {
			auto fd = connect_to(to, AF_INET, address);
			no_delay(fd);
			return fd;
		} catch (const std::system_error &) {
			if (left == 0)
				throw;
			std::this_thread::sleep_for(std::chrono::milliseconds{50});
		}
	}
}

unique_fd listen_tcp(const std::string &ip, unsigned port)
{
	return listen_at(internet(ip, port), AF_INET);
}

unique_fd connect_vsock(unsigned port)
{
	sockaddr_vm address{};
	address.svm_family = AF_VSOCK;
	address.svm_cid = VMADDR_CID_HOST;
	address.svm_port = port;
	return connect_to(address, AF_VSOCK, "vsock port " + std::to_string(port));
}

unique_fd listen_vsock()
{
	sockaddr_vm address{};
	address.svm_family = AF_VSOCK;
	address.svm_cid = VMADDR_CID_ANY;
	address.svm_port = VMADDR_PORT_ANY;
	return listen_at(address, AF_VSOCK);
}

unsigned port_of(const unique_fd &listener)
{
	union {
		sockaddr any;
		sockaddr_in internet;
		sockaddr_vm vm;
	} address{};
	socklen_t size = sizeof address;
	if (::getsockname(listener.get(), &address.any, &size) != 0)
		fail("getsockname");
	return address.any.sa_family == AF_VSOCK ? address.vm.svm_port : ntohs(address.internet.sin_port);
}

unique_fd accept_one(const unique_fd &listener)
{
	unique_fd fd{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
	if (!fd)
		fail("accept");
	no_delay(fd);
	return fd;
}

} // namespace bench
