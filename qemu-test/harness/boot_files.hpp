// SPDX-License-Identifier: MIT
#pragma once

#include "guest_options.hpp"

#include <filesystem>

namespace harness {

/** The directory with vmlinux, vmlinuz and modules/: see scripts/kernel-image.
 *  $KVMCHAN_KERNEL_DIR, else the image in the cache that the module was built
 *  for. Throws harness::error with the remedy if it is not there. */
std::filesystem::path kernel_directory();

/** What QEMU boots of it: vmlinux for pvh where there is one, else vmlinuz. */
std::filesystem::path kernel_file(boot_image image);

/** kvmchan.ko: $KVMCHAN_KO, else that of this build. */
std::filesystem::path module_file();

/** The directory of PID 1 and the in-guest test programs: $KVMCHAN_GUEST_PROGRAMS,
 *  else those of this build. */
std::filesystem::path guest_program_directory();

/** The top of this build; it has the same name in the guest. */
std::filesystem::path build_directory();

/** The top of the sources that this build is of. */
std::filesystem::path source_directory();

/** Where things are kept that may be thrown away. */
std::filesystem::path cache_directory();

/** Writes the initramfs: busybox, PID 1, the boot modules, perhaps kvmchan.ko. */
void write_initramfs(const std::filesystem::path &to, bool with_module);

} // namespace harness
