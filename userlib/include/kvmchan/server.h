/* SPDX-License-Identifier: MIT */
/*
 * kvmchan: the server of "kvmchan serve" inside a program of one's own.
 *
 * In a library of its own, libkvmchan-server, because it needs more than
 * libkvmchan does. Functions return 0 or a negated errno value;
 * kvmchan_server_error_text() has a sentence about the last failure in this
 * thread. It logs through the default logger of spdlog; in a program that has
 * not set one up, warnings on standard error.
 */
#ifndef KVMCHAN_SERVER_H
#define KVMCHAN_SERVER_H

#ifdef __cplusplus
extern "C" {
#endif

#ifndef KVMCHAN_API
#define KVMCHAN_API __attribute__((visibility("default")))
#endif

/** A server of one or more regions. */
struct kvmchan_server;

KVMCHAN_API const char *kvmchan_server_error_text(void);

/**
 * Makes a server of a configuration file, see kvmchan.toml(5): opens all memory
 * and sockets. Clients that connect wait until it runs.
 */
KVMCHAN_API int kvmchan_server_open(const char *file, struct kvmchan_server **out);

/** The same of the text of such a file. */
KVMCHAN_API int kvmchan_server_create(const char *toml, struct kvmchan_server **out);

/**
 * Serves until kvmchan_server_stop(). One thread; signals and their handlers
 * stay the program's, but for SIGPIPE, which has to be ignored.
 */
KVMCHAN_API int kvmchan_server_run(struct kvmchan_server *server);

/** Makes kvmchan_server_run() return, also when it runs later. Any thread. */
KVMCHAN_API void kvmchan_server_stop(struct kvmchan_server *server);

/** Closes all sockets and removes their files; not while it runs. NULL is allowed. */
KVMCHAN_API void kvmchan_server_close(struct kvmchan_server *server);

#ifdef __cplusplus
}
#endif

#endif
