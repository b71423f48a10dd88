// SPDX-License-Identifier: MIT
// Standard input and output as bytes.
#ifndef KVMCHAN_TOOLS_STDIO_BYTES_HPP
#define KVMCHAN_TOOLS_STDIO_BYTES_HPP

#include <cstddef>
#include <span>

namespace kvmchan::tools {

inline constexpr std::size_t stdio_buffer = 256 * 1024;

/** What there is, at least a byte; 0 at the end. Waits. Throws std::system_error. */
std::size_t read_input(std::span<std::byte> to);

/** All of it. Waits, also where somebody made the descriptor non-blocking. */
void write_output(std::span<const std::byte> bytes);

} // namespace kvmchan::tools

#endif
