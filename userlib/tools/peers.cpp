// SPDX-License-Identifier: MIT
// "kvmchan ring" and "kvmchan peers": ivshmem itself.
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"

namespace kvmchan::tools {
namespace {

struct peer_options {
	region_argument where;
	std::string device;
	std::uint16_t peer = 0;
	std::uint16_t vector = 0;
	bool as_json = false;
};

void ring(const peer_options &options)
{
	if (!options.device.empty())
		device{options.device}.ring(options.peer, static_cast<std::uint8_t>(options.vector));
	else
		options.where.place().open().ring(options.peer, options.vector);
}

void list_peers(const peer_options &options)
{
	const region where = options.where.place().open();
	const auto ids = where.peers();

	if (options.as_json)
		return print({{"own", where.info().peer}, {"peers", ids}});
	for (const std::uint16_t id : ids)
		fmt::print("{}\n", id);
}

} // namespace

void add_ring_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("ring", "Ring a peer's doorbell");
	auto options = std::make_shared<peer_options>();

	command.add_option("--peer", options->peer, "ivshmem ID of who is rung")->required();
	command.add_option("--vector", options->vector, "MSI-X vector")->capture_default_str()->check(CLI::Range(0, 255));
	command.add_option("--device", options->device,
	                   "In a guest: through the registers of this device (0000:00:04.0), which has no driver");
	options->where.add_to(command);
	on_run(command, [options] { ring(*options); });
}

void add_peers_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("peers", "List the ivshmem IDs of those who are attached to a server's region");
	auto options = std::make_shared<peer_options>();

	options->where.add_to(command);
	command.add_flag("--json", options->as_json, "As JSON");
	on_run(command, [options] { list_peers(*options); });
}

} // namespace kvmchan::tools
