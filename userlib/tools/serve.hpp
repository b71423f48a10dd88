// SPDX-License-Identifier: MIT
// "kvmchan serve", also under the name and with the flags of ivshmem-server.
#ifndef KVMCHAN_TOOLS_SERVE_HPP
#define KVMCHAN_TOOLS_SERVE_HPP

#include <CLI/CLI.hpp>

/** Adds the subcommand; it runs when the command line, which is @p argv, is parsed. */
void add_serve_command(CLI::App &app, int argc, char **argv);

/** Whether the program was started under the name ivshmem-server. */
bool called_as_ivshmem_server(const char *argv0);

/** The whole program under that name; returns the exit code. */
int ivshmem_server_main(int argc, char **argv);

#endif
