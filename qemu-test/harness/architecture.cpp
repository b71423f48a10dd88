// SPDX-License-Identifier: MIT
#include "architecture.hpp"

#include "boot_files.hpp"
#include "error.hpp"

#include <algorithm>
#include <array>
#include <fstream>

namespace harness {

namespace {

/*
 * With one vCPU, TCG emits neither fences nor LOCK prefixes towards the other
 * processes that map the shared memory; every guest must be able to have two
 * (qemu_command.cpp gives maxcpus=2).
 *
 * amd64: erms and fsrm make the kernel copy with "rep movsb", which TCG executes
 * byte by byte. arm64: pointers are signed with QEMU's own cipher, for the
 * architecture's takes half of the time.
 */
const std::array<architecture, 2> all{{
	{.name = "amd64",
	 .qemu = "qemu-system-x86_64",
	 .machine = "q35",
	 .emulate = {"-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"},
	 .console = "ttyS0",
	 .second_uart = "/dev/ttyS1",
	 .is_pc = true,
	 .is_of_host = true},
	{.name = "arm64",
	 .qemu = "qemu-system-aarch64",
	 .machine = "virt,gic-version=3",
	 .emulate = {"-accel", "tcg,thread=multi", "-cpu", "max,pauth-impdef=on"},
	 .console = "ttyAMA0",
	 .second_uart = nullptr,
	 .is_pc = false,
	 .is_of_host = false},
}};

const architecture &find_architecture()
{
	std::string name = "amd64";
	std::ifstream{kernel_directory() / "arch"} >> name;
	const auto *const found = std::ranges::find(all, name, &architecture::name);
	if (found == all.end())
		throw error{(kernel_directory() / "arch").string() + " says \"" + name + "\": amd64 or arm64 can be booted"};
	return *found;
}

} // namespace

const architecture &guest_architecture()
{
	static const architecture &found = find_architecture();
	return found;
}

} // namespace harness
