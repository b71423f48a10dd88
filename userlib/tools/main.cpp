// SPDX-License-Identifier: MIT
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "command.hpp"
#include "kvmchan/kvmchan.h"
#ifdef KVMCHAN_WITH_SERVE
#include "serve.hpp"
#endif

namespace kvmchan::tools {

void report_error(const std::string &command, const std::exception &error)
{
	std::fprintf(stderr, "kvmchan %s: %s\n", command.c_str(), error.what());
}

} // namespace kvmchan::tools

int main(int argc, char **argv)
{
#ifdef KVMCHAN_WITH_SERVE
	if (called_as_ivshmem_server(argv[0]))
		return ivshmem_server_main(argc, argv);
#endif
	CLI::App app{"Channels between VMs and their host over shared memory", "kvmchan"};

	app.require_subcommand(1);
	app.set_version_flag("--version", kvmchan_version());
#ifdef KVMCHAN_WITH_SERVE
	add_serve_command(app, argc, argv);
#endif
	using namespace kvmchan::tools;

	add_create_command(app);
	add_connect_command(app);
	add_send_command(app);
	add_recv_command(app);
	add_memory_command(app);
	add_list_command(app);
	add_info_command(app);
	add_stat_command(app);
	add_map_command(app);
	add_peers_command(app);
	add_ring_command(app);
	add_check_command(app);
	/* Whoever we write to may go first: that is an error, not a death. */
	std::signal(SIGPIPE, SIG_IGN);
	CLI11_PARSE(app, argc, argv);
	return 0;
}
