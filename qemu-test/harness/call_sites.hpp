// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

namespace harness {

/**
 * Where an x86-64 kernel module calls any of these functions of the kernel: "caller+0x12",
 * as a stack of the kernel's has it, and which one it calls. Throws error if the
 * module cannot be read, or leaves a call's frame to the callee (a tail call):
 * that would be in no stack; -fno-optimize-sibling-calls is the remedy.
 */
std::map<std::string, std::string> call_sites(const std::filesystem::path &module,
                                              const std::set<std::string> &callees);

} // namespace harness
