// SPDX-License-Identifier: MIT
// Runs another program in this process and leaves it descriptors.
#ifndef KVMCHAN_SERVER_EXEC_FDS_HPP
#define KVMCHAN_SERVER_EXEC_FDS_HPP

#include <string>
#include <vector>

#include "handover_state.hpp"

namespace kvmchan {

/** The signals that a server heeds; blocked while it changes its program. */
extern const std::vector<int> heeded_signals;
void block_heeded_signals(bool block) noexcept;

/**
 * execve() of @p program, which finds @p fds as sd_listen_fds_with_names() gives
 * them. heeded_signals are blocked then: the program lets them in again when it
 * can take them. One thread only.
 *
 * Does not return but by std::system_error, and then every descriptor and the
 * environment are as they were.
 */
[[noreturn]] void execute_with(const std::string &program, const std::vector<std::string> &arguments,
                               const fd_names &fds);

/**
 * Runs @p program in a child and waits for its end, a few seconds at most. Throws
 * std::system_error with its last words when it cannot be run or does not succeed.
 */
void try_program(const std::string &program, const std::vector<std::string> &arguments);

} // namespace kvmchan

#endif
