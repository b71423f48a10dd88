// SPDX-License-Identifier: MIT
// What to give QEMU or libvirt for a region that is served.
#ifndef KVMCHAN_SERVER_VM_OPTIONS_HPP
#define KVMCHAN_SERVER_VM_OPTIONS_HPP

#include <filesystem>
#include <string>

#include "config.hpp"

namespace kvmchan {

/**
 * Options for a QEMU command line. Never with reconnect= on the chardev: QEMU
 * hangs when it is set for an ivshmem device.
 */
std::string qemu_options(const region_config &region, const std::filesystem::path &socket);

/** An element for <devices> of a libvirt domain. */
std::string libvirt_element(const region_config &region, const std::filesystem::path &socket);

/** Both, for each VM, or for the region's socket where no VM is configured. */
std::string describe_vm_options(const server_config &config);

} // namespace kvmchan

#endif
