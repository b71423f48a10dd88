// SPDX-License-Identifier: MIT
#include "region_server.hpp"

#include "boot_files.hpp"
#include "error.hpp"
#include "unique_fd.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace harness {

using kvmchan::unique_fd;

namespace {

unique_fd notify_socket(const std::filesystem::path &path)
{
	::unlink(path.c_str());
	unique_fd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	path.string().copy(address.sun_path, sizeof address.sun_path - 1);
	if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
		throw std::system_error{errno, std::system_category(), path.string()};
	return fd;
}

void wait_ready(const unique_fd &notify, host_process &server)
{
	const auto deadline = deadline_after(nominal::command);
	while (clock::now() < deadline && server.running()) {
		pollfd wait{notify.get(), POLLIN, 0};
		poll(&wait, 1, 20);
		char text[4096];
		const auto n = recv(notify.get(), text, sizeof text, 0);
		if (n > 0 && std::string_view{text, static_cast<std::size_t>(n)}.find("READY=1") !=
		                     std::string_view::npos)
			return;
	}
	throw deadline_error{"kvmchan serve does not get ready\n" + server.out() + server.err()};
}

} // namespace

std::filesystem::path kvmchan_tool()
{
	return build_directory() / "userlib/kvmchan";
}

region_server::region_server(setup options) : options_{std::move(options)}, socket_{dir_ / "socket"}
{
	start();
}

/* What to serve: options, or a file. */
std::vector<std::string> region_server::words() const
{
	if (options_.toml.empty())
		return {"-S", socket_, "-l", options_.size, "-n", std::to_string(options_.vectors), "--memfd"};
	const auto file = dir_ / "server.toml";
	std::ofstream{file} << fmt::format("[[region]]\nname = \"test\"\nsocket = \"{}\"\nsize = \"{}\"\nvectors = {}\n{}",
	                                   socket_.string(), options_.size, options_.vectors, options_.toml);
	return {"-c", file};
}

void region_server::start()
{
	const auto notify = notify_socket(dir_ / "notify");
	std::vector<std::string> argv{kvmchan_tool(), "serve", "-F", "-p", dir_ / "pid"};
	for (const auto &more : {words(), options_.args})
		argv.insert(argv.end(), more.begin(), more.end());
	process_.emplace(process_options{.argv = std::move(argv),
	                                 .env = {{"NOTIFY_SOCKET", dir_ / "notify"}},
	                                 .directory = dir_.path()});
	wait_ready(notify, *process_);
}

void region_server::stop()
{
	process_->signal(SIGTERM);
	const auto ended = process_->wait(nominal::exit);
	if (ended.exit != 0)
		throw error{"kvmchan serve exited with " + std::to_string(ended.exit) + '\n' + ended.err};
}

ivshmem_doorbell region_server::device(std::string id, std::string_view vm) const
{
	auto socket = socket_;

	if (!vm.empty())
		socket.concat(".").concat(vm);
	return {.id = std::move(id), .socket = std::move(socket), .vectors = options_.vectors};
}

} // namespace harness
