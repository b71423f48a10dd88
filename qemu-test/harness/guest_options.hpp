// SPDX-License-Identifier: MIT
#pragma once

#include "time_limit.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

namespace harness {

/** Shared memory without interrupts. */
struct ivshmem_plain {
	std::string id;               ///< QEMU's device id, unique in the guest
	std::filesystem::path memory; ///< file, or /proc/<pid>/fd/<n> for a memfd
	std::uint64_t size = 0;       ///< 0: the size of the file; QEMU wants a power of two
	bool master = false;          ///< migration copies the memory
	std::string bus{};            ///< a root port's id, or empty for the root bus
};

/** Shared memory and doorbells, both from an ivshmem server. */
struct ivshmem_doorbell {
	std::string id;
	std::filesystem::path socket; ///< the server must listen before boot or plug
	unsigned vectors = 1;
	bool master = false;
	std::string bus{};
	bool ioeventfd = true;
};

using ivshmem = std::variant<ivshmem_plain, ivshmem_doorbell>;

/** A PCIe root port, the place where q35 can hot-plug one device. */
struct root_port {
	std::string id;
	/// Room for the hot-plugged BAR2. 0 leaves none: BAR2 then stays unassigned.
	std::string prefetch_reserve = "64M";
};

enum class boot_image {
	pvh,     ///< the uncompressed vmlinux, if there is one: fast, but no KASLR and no S3
	bzimage, ///< the distribution's vmlinuz
};

enum class module_load {
	automatic, ///< insmod before boot() returns, rmmod must work at the end
	manual,    ///< the file is at /lib/modules/kvmchan.ko; the test loads it
	none,      ///< not even in the initramfs
};

/** What the harness and PID 1 talk over. */
enum class control_port {
	virtio, ///< virtio-serial
	serial, ///< a UART: slow, but Linux 7's virtio_console does not outlive suspended devices
};

/** What machine to boot. The defaults boot the quickest useful one. */
struct guest_options {
	std::vector<ivshmem> devices{};
	std::vector<root_port> root_ports{};

	unsigned cpus = 2;       ///< online CPUs
	unsigned memory_mib = 256;
	/// Words for the kernel's command line.
	std::string kernel_args{};
	/// Raw words for QEMU's command line.
	std::vector<std::string> qemu_args{};

	module_load module = module_load::automatic;
	/// Parameters for the module, as insmod takes them.
	std::vector<std::string> module_params{};

	boot_image image = boot_image::pvh;
	control_port control = control_port::virtio;
	/// Push 64-bit BARs above 4 GiB, where the write-back memory type holds;
	/// the firmware puts them below whenever they fit.
	bool bars_above_4g = false;
	/// A guest reset (or panic) reboots; otherwise it ends QEMU.
	/// guest::reset() works in either case.
	bool allow_reboot = false;
	/// Whether /share and /host exist (and with them /tests). QEMU does not
	/// migrate a machine in which they are mounted, and Linux's 9p does not
	/// survive suspend to RAM.
	bool shares = true;
	/// Functions that lose memory through a fault of the kernel itself: what
	/// has one of them in its backtrace is not held against the module.
	std::vector<std::string> leaky{};

	milliseconds boot_limit = nominal::boot;
};

} // namespace harness
