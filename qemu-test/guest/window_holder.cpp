// SPDX-License-Identifier: MIT
/*
 * Opens the channel "writes" with a guard, fills a window on its ring, says so,
 * and fills it again when a line comes. It is to be there when the memory goes
 * away, and to be told.
 */
#include "node.hpp"

#include "kvmchan/channel.hpp"

#include <algorithm>
#include <iostream>
#include <string>

int main()
try {
	kvmchan::channel end{node::device("writes", 1), {.non_blocking = true, .guard = true}};
	const auto window = end.reserve(4096);
	std::ranges::fill(window, std::byte{1});
	std::cout << "mapped" << std::endl;
	std::string line;
	std::getline(std::cin, line);
	std::ranges::fill(window, std::byte{2});
	std::error_code ec;
	end.commit(1, ec);
	std::cout << "commit: " << ec.message() << std::endl;
	end.reserve(1, ec);
	std::cout << "reserve: " << ec.message() << std::endl;
	end.peek(1, ec);
	std::cout << "peek: " << ec.message() << std::endl;
	end.reconnect(ec);
	std::cout << "reconnect: " << ec.message() << std::endl;
} catch (const std::exception &e) {
	std::cerr << e.what() << '\n';
	return 1;
}
