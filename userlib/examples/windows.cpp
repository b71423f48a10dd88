// SPDX-License-Identifier: MIT
/*
 * Files through a channel without a buffer of one's own: read(2) puts the bytes
 * straight into the ring, write(2) takes them out of it. The same on the host
 * (SOCKET NAME) and in a guest (NAME).
 *
 *	example_windows send files < image
 *	example_windows receive /run/kvmchan/demo files > image
 */
#include <kvmchan/channel.hpp>

#include <cerrno>
#include <exception>
#include <iostream>
#include <string_view>

#include <unistd.h>

namespace {

kvmchan::channel open_end(int count, char **words)
{
	if (count == 2)
		return kvmchan::channel{kvmchan::region::attach(words[0]), words[1]};
	return kvmchan::channel{words[0]};
}

std::size_t checked(ssize_t done)
{
	if (done < 0)
		throw std::system_error{errno, std::generic_category()};
	return static_cast<std::size_t>(done);
}

void send(kvmchan::channel &out)
{
	for (;;) {
		const auto room = out.reserve(); // waits until there is some
		const auto size = checked(::read(STDIN_FILENO, room.data(), room.size()));

		if (!size)
			break;
		out.commit(size);
	}
	out.shutdown_write();
}

void receive(kvmchan::channel &in)
{
	for (auto bytes = in.peek(); !bytes.empty(); bytes = in.peek())
		in.consume(checked(::write(STDOUT_FILENO, bytes.data(), bytes.size())));
}

} // namespace

int main(int argc, char **argv)
try {
	const std::string_view what{argc > 1 ? argv[1] : ""};

	if ((argc != 3 && argc != 4) || (what != "send" && what != "receive")) {
		std::cerr << "usage: example_windows send|receive [SOCKET] NAME\n";
		return 2;
	}
	auto end = open_end(argc - 2, argv + 2);

	what == "send" ? send(end) : receive(end);
	return 0;
} catch (const std::exception &error) {
	std::cerr << "example_windows: " << error.what() << '\n';
	return 1;
}
