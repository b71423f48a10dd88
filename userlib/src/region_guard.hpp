// SPDX-License-Identifier: MIT
// What happens when somebody truncates memory that is mapped here.
#ifndef KVMCHAN_REGION_GUARD_HPP
#define KVMCHAN_REGION_GUARD_HPP

#include <cstddef>
#include <span>

namespace kvmchan::detail {

/*
 * Memory that is not sealed can be truncated by whoever may open it, and every
 * access behind the new end is a SIGBUS then, which kills the process. For a
 * guarded mapping the process-wide handler that is installed with the first
 * guard puts private zero pages over the whole mapping and marks it as lost:
 * the access that failed goes on, and the library finds the mark before it
 * trusts what it read. A SIGBUS anywhere else goes to the handler that was
 * installed before.
 */

/** Guards a mapping. Throws std::system_error (ENOSPC: too many are guarded). */
void guard_mapping(std::span<std::byte> mapping);
/** The same for another mapping of memory that is guarded: both are lost together. */
void guard_part(std::span<std::byte> mapping, std::span<const std::byte> whole);
/** Before it is unmapped. */
void unguard_mapping(std::span<std::byte> mapping) noexcept;
/** Whether an access to a guarded mapping failed. */
bool mapping_lost(std::span<const std::byte> mapping) noexcept;

} // namespace kvmchan::detail

#endif
