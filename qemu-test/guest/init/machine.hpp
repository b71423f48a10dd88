// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <string>
#include <string_view>

/* What PID 1 does to the machine itself. */
namespace guest_init {

/** proc, sys, dev, debugfs, tracefs, tmp; what the kernel lacks is left out. */
void mount_pseudo_filesystems();
/** /share and /host, if the machine has their 9p devices. */
void mount_shares();
/** Loads /boot-modules/ in the order of their names. */
void load_boot_modules();
/** The value of NAME=value on the kernel's command line, or "". */
std::string boot_parameter(std::string_view name);
/**
 * The way to the harness, not blocking: the terminal that kvmchan.control=NODE
 * on the kernel's command line names, or the virtio-serial port of that name,
 * for which this waits.
 */
kvmchan::unique_fd open_control_port(std::string_view virtio_name);

[[noreturn]] void power_off();
[[noreturn]] void reboot_machine();
/** Says so on the console, and panics the kernel (the harness sees that). */
[[noreturn]] void give_up(std::string_view why);

} // namespace guest_init
