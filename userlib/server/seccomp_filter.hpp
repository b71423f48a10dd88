// SPDX-License-Identifier: MIT
// The system calls that a server has left when it serves.
#ifndef KVMCHAN_SERVER_SECCOMP_FILTER_HPP
#define KVMCHAN_SERVER_SECCOMP_FILTER_HPP

namespace kvmchan {

/**
 * For the calling thread and what it starts, for ever: what a server needs, and
 * what its program needs to be run again, goes on to work. Calls that no server
 * makes and an intruder would (ptrace(), mount(), bpf(), ...) kill the process;
 * all others fail with EPERM. Of sockets there are AF_UNIX ones only, and no
 * memory becomes executable that was writable.
 *
 * In a build with sanitizers (KVMCHAN_SANITIZE) theirs are let through as well,
 * among them ptrace(), with which LeakSanitizer stops threads.
 *
 * NO_NEW_PRIVS has to be set. Throws std::system_error.
 */
void filter_system_calls();

} // namespace kvmchan

#endif
