// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace harness {

/**
 * QEMU's words for the accelerator and the CPU. $KVMCHAN_ACCEL decides: "kvm",
 * "tcg", or (not set, or "auto") kvm where a guest really boots with it, which
 * is tried once per boot of this machine.
 */
std::vector<std::string> accelerator_args();

} // namespace harness
