// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>

#include "serve.hpp"

int main(int argc, char **argv)
{
	if (called_as_ivshmem_server(argv[0]))
		return ivshmem_server_main(argc, argv);

	CLI::App app{"Channels between VMs and their host over shared memory", "kvmchan"};

	app.require_subcommand(1);
	add_serve_command(app);
	CLI11_PARSE(app, argc, argv);
	return 0;
}
