// SPDX-License-Identifier: MIT
// eventfds as doorbells, when the others that hold them may be hostile.
#ifndef KVMCHAN_DOORBELL_HPP
#define KVMCHAN_DOORBELL_HPP

#include <system_error>

#include "unique_fd.hpp"

namespace kvmchan {

/*
 * The descriptors of an eventfd share one file description: its counter AND
 * its O_NONBLOCK flag. Any holder can clear the flag and fill the counter, and
 * then a plain write() of another one blocks for ever. So neither function
 * counts on the flag.
 */

/** A new eventfd: non-blocking, close-on-exec, counter 0. */
unique_fd make_doorbell(std::error_code &ec) noexcept;

/** Whether @p fd is an eventfd. Asks /proc; without it, no. */
bool is_doorbell(int fd) noexcept;

/**
 * Rings: adds one to the counter, if that is possible now. A counter that is
 * full has a ring pending already, so nothing is lost. Does not wait.
 *
 * Returns whether the owner has a ring to see.
 */
bool ring_doorbell(int fd) noexcept;

/**
 * Takes the rings of an eventfd that is OURS: resets the counter. Nobody else's
 * is ever read, for that would steal its owner's wake-up. Does not wait.
 *
 * Returns whether there was one.
 */
bool drain_doorbell(int fd) noexcept;

} // namespace kvmchan

#endif
