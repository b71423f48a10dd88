// SPDX-License-Identifier: MIT
/*
 * Maps the block "memory", says so, and touches it when a line comes. It is
 * to be there when the memory goes away.
 */
#include "node.hpp"

#include <cstdio>
#include <iostream>
#include <string>

#include <sys/mman.h>

int main()
try {
	const auto fd = node::open_side("memory", 1);
	void *at = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
	if (at == MAP_FAILED)
		node::fail("mmap");
	auto *const bytes = static_cast<volatile char *>(at);
	for (std::size_t i = 0; i < 1 << 20; i += 4096)
		bytes[i] = 1;
	std::cout << "mapped" << std::endl;
	std::string line;
	std::getline(std::cin, line);
	bytes[4096] = 2;
} catch (const std::exception &e) {
	std::cerr << e.what() << '\n';
	return 1;
}
