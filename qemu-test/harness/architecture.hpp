// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace harness {

/** What of a machine depends on the architecture of its kernel. */
struct architecture {
	const char *name;                 ///< as Debian says it
	const char *qemu;                 ///< the program
	const char *machine;              ///< QEMU's -M: with PCI Express, and MSI-X
	std::vector<std::string> emulate; ///< QEMU's words for TCG
	const char *console;              ///< the first UART, for the kernel's console=
	const char *second_uart;          ///< null: there is none
	bool is_pc;                       ///< with its firmware, which gives BARs their places, and x86's instructions
	bool is_of_host;                  ///< so that programs of the host run in a guest
};

/** That of kernel_directory(), whose file "arch" names it; amd64 without one. */
const architecture &guest_architecture();

} // namespace harness
