// SPDX-License-Identifier: MIT
// What the subcommands have in common.
#ifndef KVMCHAN_TOOLS_COMMAND_HPP
#define KVMCHAN_TOOLS_COMMAND_HPP

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

namespace kvmchan::tools {

/** Prints "kvmchan COMMAND: what, where, why". */
void report_error(const std::string &command, const std::exception &error);

/** Runs a command's body: an error is one line on stderr and exit code 1. */
template <typename Body>
void on_run(CLI::App &app, Body body)
{
	app.callback([&app, body = std::move(body)] {
		try {
			body();
		} catch (const CLI::Error &) {
			throw;
		} catch (const std::exception &error) {
			report_error(app.get_name(), error);
			throw CLI::RuntimeError{1};
		}
	});
}

void add_create_command(CLI::App &app);
void add_connect_command(CLI::App &app);
void add_send_command(CLI::App &app);
void add_recv_command(CLI::App &app);
void add_list_command(CLI::App &app);
void add_info_command(CLI::App &app);
void add_stat_command(CLI::App &app);
void add_ring_command(CLI::App &app);
void add_peers_command(CLI::App &app);
void add_map_command(CLI::App &app);
void add_memory_command(CLI::App &app);
void add_check_command(CLI::App &app);

} // namespace kvmchan::tools

#endif
