// SPDX-License-Identifier: MIT
#include "serve.hpp"

#include <grp.h>
#include <pwd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include "daemon.hpp"
#include "memory_size.hpp"
#include "sandbox.hpp"
#include "server.hpp"
#include "vm_options.hpp"

namespace {

using namespace kvmchan;

/* Names, defaults and meanings of the short options are ivshmem-server's. */
struct serve_options {
	std::string config;
	bool foreground = false;
	bool verbose = false;
	bool reload = false;
	bool restart = false;
	bool print_options = false;
	bool quiet = false;
	bool no_sandbox = false;
	std::string pid_path = "/var/run/ivshmem-server.pid";
	std::string socket = "/tmp/ivshmem_socket";
	std::string shm_name = "ivshmem";
	std::string shm_directory;
	std::string size = "4M";
	unsigned vectors = 1;
	std::string name = "kvmchan";
	bool memfd = false;
	bool format = false;
	bool keep = false;
	unsigned clients = 256;
	unsigned deadline_ms = 10'000;
	std::string group;
	std::vector<std::string> users;
	std::vector<std::string> channels;
	std::vector<std::string> blocks;
	std::vector<std::string> vms;
	CLI::Option *pid_option = nullptr;
	CLI::Option *shm_option = nullptr;
	std::vector<CLI::Option *> region_options;
};

uid_t user_number(const std::string &text);
gid_t group_number(const std::string &text);

/* "name[:id[:socket]]" */
vm_config parse_vm_flag(const std::string &text)
{
	const auto first = text.find(':');
	const auto second = first == std::string::npos ? first : text.find(':', first + 1);
	vm_config vm;

	vm.name = text.substr(0, first);
	if (first != std::string::npos) {
		const std::string id = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
		unsigned value = 0;

		if (!id.empty() && (!CLI::detail::lexical_cast(id, value) || value > KVMCHAN_PEER_MAX))
			throw std::system_error{std::make_error_code(std::errc::invalid_argument),
			                        fmt::format("--vm {}: \"{}\" is no ID from 0 to {}", text, id, KVMCHAN_PEER_MAX)};
		if (!id.empty())
			vm.id = static_cast<std::uint16_t>(value);
	}
	if (second != std::string::npos)
		vm.socket = text.substr(second + 1);
	return vm;
}

/*
 * With none but ivshmem-server's options it does what ivshmem-server does: a
 * named object, or one in a directory, that is left as it is. A region of ours
 * is formatted, and is a sealed memfd unless a place is named.
 */
void choose_memory(const serve_options &options, region_config &region)
{
	const bool ours = options.format || !options.channels.empty() || !options.blocks.empty() || !options.vms.empty();

	region.raw = !ours;
	region.keep_memory = options.keep;
	if (!options.shm_directory.empty()) {
		region.memory = memory_kind::directory;
		region.memory_name = options.shm_directory;
	} else if (!options.memfd && (!ours || options.shm_option->count())) {
		region.memory = memory_kind::shm;
		region.memory_name = options.shm_name;
	}
}

server_config config_of_flags(const serve_options &options)
{
	region_config region;

	region.name = options.name;
	region.socket = options.socket;
	region.size = parse_size(options.size);
	region.vectors = options.vectors;
	region.max_clients = options.clients;
	region.client_deadline = std::chrono::milliseconds{options.deadline_ms};
	choose_memory(options, region);
	if (!options.group.empty())
		region.group = group_number(options.group);
	for (const std::string &user : options.users)
		region.allow_uids.push_back(user_number(user));
	for (const std::string &vm : options.vms)
		region.vms.push_back(parse_vm_flag(vm));
	for (const std::string &channel : options.channels)
		region.slots.push_back(parse_channel_flag(channel));
	for (const std::string &block : options.blocks)
		region.slots.push_back(parse_memory_flag(block));

	server_config config;

	config.regions.push_back(std::move(region));
	complete(config);
	return config;
}

server_config config_of(const serve_options &options)
{
	return options.config.empty() ? config_of_flags(options) : load_config(options.config);
}

void ask_running(const serve_options &options, const char *command)
{
	std::filesystem::path socket = options.socket;

	if (!options.config.empty())
		socket = load_config(options.config).regions.front().socket;

	control_request(control_path(socket), {{"cmd", command}});
}

void start_log(bool syslog, bool verbose)
{
	const auto log = syslog ? spdlog::syslog_logger_mt("kvmchan", "kvmchan", LOG_PID, LOG_DAEMON)
	                        : spdlog::stderr_color_mt("kvmchan");

	if (!syslog)
		log->set_pattern("%^%l%$: %v");
	spdlog::set_default_logger(log);
	spdlog::set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
}

void serve(const serve_options &options, const std::vector<std::string> &arguments)
{
	if (options.reload || options.restart) {
		ask_running(options, options.restart ? "restart" : "reload");
		return;
	}
	const server_config config = config_of(options);

	if (options.print_options) {
		fmt::print("{}", describe_vm_options(config));
		return;
	}
	std::signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();

	std::optional<background> behind;
	std::optional<pid_file> pid;

	start_log(!options.foreground, options.verbose);

	handover with = handover::receive(arguments);

	if (!options.foreground && !with.same_process())
		behind = background::enter();
	const bool has_pid_file = !options.foreground || options.pid_option->count();

	if (has_pid_file)
		pid.emplace(options.pid_path);

	server daemon{config, &with};
	sandbox box{config, options.config, has_pid_file ? options.pid_path : "", with.program()};

	if (!options.no_sandbox)
		box.enter(landlock::abi());
	if (!options.config.empty())
		daemon.set_reload_source([&] {
			server_config wanted = load_config(options.config);

			box.check(wanted);
			return wanted;
		});
	daemon.handle_signals();
	if (!options.quiet && !with.same_process()) {
		fmt::print("{}", describe_vm_options(config));
		std::fflush(stdout);
	}
	if (behind)
		behind->ready();
	daemon.run();
}

void add_compatible_options(CLI::App &app, serve_options &options)
{
	auto region = [&](CLI::Option *option) { options.region_options.push_back(option); };

	app.add_flag("-v,--verbose", options.verbose, "Log connections and changes");
	app.add_flag("-F,--foreground", options.foreground, "Do not go into the background");
	options.pid_option = app.add_option("-p,--pid-file", options.pid_path, "Where the process ID is written")
	                             ->capture_default_str();
	app.add_option("-S,--socket", options.socket, "Socket for host processes, and for any client")
		->capture_default_str();
	options.shm_option = app.add_option("-M,--shm-name", options.shm_name, "POSIX shared memory object to use")
	                             ->capture_default_str();
	region(options.shm_option);
	region(app.add_option("-m,--shm-directory", options.shm_directory,
	                      "Directory to put the memory in, without a name there"));
	region(app.add_option("-l,--size", options.size, "Size of the memory, a power of two")->capture_default_str());
	region(app.add_option("-n,--vectors", options.vectors, "Interrupt vectors of each client")->capture_default_str());
}

void add_own_options(CLI::App &app, serve_options &options)
{
	auto region = [&](CLI::Option *option) { options.region_options.push_back(option); };

	CLI::Option *const config =
		app.add_option("-c,--config", options.config, "Serve the regions of this TOML file")->check(CLI::ExistingFile);

	app.add_flag("--reload", options.reload, "Make the server that runs there read its file anew, and exit");
	app.add_flag("--restart", options.restart,
	             "Make the server that runs there run its program again, with all connections, and exit");
	app.add_flag("--print-options", options.print_options, "Print what to give QEMU and libvirt, and exit");
	app.add_flag("-q,--quiet", options.quiet, "Do not print that at the start");
	app.add_flag("--no-sandbox", options.no_sandbox, "Do not confine the server to what it needs");
	region(app.add_option("--name", options.name, "Name of the region")->capture_default_str());
	region(app.add_option("--channel", options.channels,
	                      "Channel: NAME[:stream|packet[:SIZE[,SIZE]]]; may be given again"));
	region(app.add_option("--block", options.blocks, "Block of plain memory: NAME:SIZE; may be given again"));
	region(app.add_option("--vm", options.vms,
	                      "VM with a socket and an ID of its own: NAME[:ID[:SOCKET]]; may be given again"));
	region(app.add_flag("--memfd", options.memfd, "Use anonymous, sealed memory"));
	region(app.add_flag("--format", options.format, "Format the region even though it has no channel yet"));
	region(app.add_flag("--keep", options.keep, "Leave the memory object behind at the end"));
	region(app.add_option("--group", options.group, "Group of the sockets, which may connect"));
	region(app.add_option("--allow-user", options.users, "User who may connect; may be given again"));
	region(app.add_option("--max-clients", options.clients, "Most clients at a time")->capture_default_str());
	region(app.add_option("--client-deadline", options.deadline_ms,
	                      "Milliseconds after which a client that does not read is dropped")
	               ->capture_default_str());
	for (CLI::Option *option : options.region_options)
		option->excludes(config);
}

/* The options live as long as the parser. */
std::shared_ptr<serve_options> add_options(CLI::App &app, std::vector<std::string> arguments)
{
	auto options = std::make_shared<serve_options>();

	add_compatible_options(app, *options);
	add_own_options(app, *options);
	app.callback([options, arguments = std::move(arguments)] {
		try {
			serve(*options, arguments);
		} catch (const std::system_error &error) {
			fmt::print(stderr, "kvmchan serve: {}\n", error_text(error));
			throw CLI::RuntimeError{1};
		} catch (const std::exception &error) {
			fmt::print(stderr, "kvmchan serve: {}\n", error.what());
			throw CLI::RuntimeError{1};
		}
	});
	return options;
}

template <typename T, typename Find>
T number_of(const std::string &text, const char *what, Find find)
{
	T value{};

	if (CLI::detail::lexical_cast(text, value))
		return value;
	const auto *entry = find(text.c_str());

	if (!entry)
		throw std::system_error{std::make_error_code(std::errc::invalid_argument),
		                        fmt::format("no {} \"{}\"", what, text)};
	if constexpr (requires { entry->pw_uid; })
		return entry->pw_uid;
	else
		return entry->gr_gid;
}

uid_t user_number(const std::string &text)
{
	return number_of<uid_t>(text, "user", ::getpwnam);
}

gid_t group_number(const std::string &text)
{
	return number_of<gid_t>(text, "group", ::getgrnam);
}

} // namespace

void add_serve_command(CLI::App &app, int argc, char **argv)
{
	add_options(*app.add_subcommand("serve", "Serve regions of shared memory to VMs and host processes"),
	            {argv, argv + argc});
}

bool called_as_ivshmem_server(const char *argv0)
{
	const std::string_view path = argv0 ? argv0 : "";

	return path.substr(path.rfind('/') + 1) == "ivshmem-server";
}

int ivshmem_server_main(int argc, char **argv)
{
	CLI::App app{"ivshmem server of kvmchan", "ivshmem-server"};
	const auto options = add_options(app, {argv, argv + argc});

	options->quiet = true;
	CLI11_PARSE(app, argc, argv);
	return 0;
}
