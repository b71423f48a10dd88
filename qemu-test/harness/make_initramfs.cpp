// SPDX-License-Identifier: MIT
/*
 * make-initramfs FILE [--no-module]
 * Writes the initramfs of a guest to FILE, for scripts that boot one by hand,
 * and prints the kernel to boot and QEMU's words for the accelerator, one a line.
 */
#include "accelerator.hpp"
#include "boot_files.hpp"

#include <exception>
#include <iostream>
#include <string_view>

int main(int argc, char **argv)
try {
	const bool without_module = argc == 3 && std::string_view{argv[2]} == "--no-module";
	if (argc < 2 || (argc > 2 && !without_module)) {
		std::cerr << "usage: make-initramfs FILE [--no-module]\n";
		return 2;
	}
	harness::write_initramfs(argv[1], !without_module);
	std::cout << harness::kernel_file(harness::boot_image::pvh).string() << '\n';
	for (const auto &word : harness::accelerator_args())
		std::cout << word << '\n';
	return 0;
} catch (const std::exception &e) {
	std::cerr << "make-initramfs: " << e.what() << '\n';
	return 1;
}
