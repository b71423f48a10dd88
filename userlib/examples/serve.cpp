// SPDX-License-Identifier: MIT
// A server and a channel in one program: no daemon, no configuration file. Start
// QEMU with -chardev socket,path=SOCKET,id=k -device
// ivshmem-doorbell,chardev=k,vectors=2, or another program on the host; whoever
// opens the channel "hello" reads a greeting.
#include <cstdio>
#include <string>
#include <thread>

#include <kvmchan/channel.hpp>
#include <kvmchan/server.hpp>

int main(int argc, char **argv)
try {
	if (argc != 2) {
		std::fprintf(stderr, "usage: serve SOCKET\n");
		return 2;
	}
	const std::string socket = argv[1];
	auto server = kvmchan::server::from_text("[[region]]\n"
	                                         "name = \"example\"\n"
	                                         "size = \"1M\"\n"
	                                         "vectors = 2\n"
	                                         "socket = \"" + socket + "\"\n"
	                                         "[[region.channel]]\n"
	                                         "name = \"hello\"\n");
	std::jthread serving{[&] { server.run(); }};

	try {
		kvmchan::channel channel{kvmchan::region::attach(socket), "hello"};
		const std::string greeting = "hello from the host\n";
		std::byte answer[64];

		channel.write_all(std::as_bytes(std::span{greeting}));
		channel.shutdown_write();
		/* Until whoever read it is gone. */
		while (channel.read_some(answer))
			;
	} catch (...) {
		server.stop();
		throw;
	}
	server.stop();
	return 0;
} catch (const std::exception &error) {
	std::fprintf(stderr, "serve: %s\n", error.what());
	return 1;
}
