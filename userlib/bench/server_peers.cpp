// SPDX-License-Identifier: MIT
// A server, and many peers that come at once.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>
#include <vector>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ivshmem_protocol.hpp"
#include "plan.hpp"
#include "served_region.hpp"
#include "two_threads.hpp"
#include "unix_socket.hpp"

namespace kvmchan::bench {
namespace {

constexpr unsigned peers = 200;
constexpr unsigned vectors = 2;

/** In a process of its own, so that its time and its descriptors can be told from ours. */
class server_process {
public:
	explicit server_process(const std::filesystem::path &socket)
	{
		std::array<int, 2> ready{};

		if (::pipe(ready.data()))
			throw std::system_error{errno, std::system_category(), "pipe"};
		const unique_fd in{ready[0]};
		unique_fd out{ready[1]};

		pid_ = ::fork();
		if (pid_ < 0)
			throw std::system_error{errno, std::system_category(), "fork"};
		if (pid_ == 0)
			serve(socket, std::move(out));
		out.reset();
		char byte = 0;

		if (::read(in.get(), &byte, 1) != 1)
			throw std::runtime_error{"the server did not start"};
	}
	server_process(const server_process &) = delete;
	server_process &operator=(const server_process &) = delete;
	~server_process()
	{
		::kill(pid_, SIGTERM);
		::waitpid(pid_, nullptr, 0);
	}

	double cpu_seconds() const
	{
		clockid_t id{};
		timespec now{};

		if (::clock_getcpuclockid(pid_, &id) || ::clock_gettime(id, &now))
			throw std::runtime_error{"the server's CPU time"};
		return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
	}
	std::size_t descriptors() const
	{
		const std::filesystem::directory_iterator begin{"/proc/" + std::to_string(pid_) + "/fd"};

		return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
	}

private:
	[[noreturn]] static void serve(const std::filesystem::path &socket, unique_fd ready)
	{
		try {
			::prctl(PR_SET_PDEATHSIG, SIGKILL);
			server_config config;

			config.regions.push_back(config_of({channel_mode::stream, 4096, 1, vectors, peers}, socket));
			server here{config};

			here.handle_signals();
			if (::write(ready.get(), "", 1) != 1)
				std::_Exit(1);
			here.run();
		} catch (const std::exception &error) {
			std::fprintf(stderr, "bench-host: server: %s\n", error.what());
			std::_Exit(1);
		}
		std::_Exit(0);
	}

	pid_t pid_ = -1;
};

/* A queue of connections that is full empties soon. */
unique_fd connect_to(const std::filesystem::path &socket)
{
	for (;;) {
		std::error_code ec;
		unique_fd made = unix_connect(socket, ec);

		if (!ec)
			return made;
		if (ec != std::errc::operation_would_block)
			throw std::system_error{ec, socket.string()};
		std::this_thread::yield();
	}
}

/**
 * Takes what the server sends, and sees that it comes in the protocol's order:
 * version, own ID, memory, then each peer's vectors one after the other.
 */
class peer {
public:
	explicit peer(const std::filesystem::path &socket) : socket_{connect_to(socket)} {}

	int fd() const noexcept { return socket_.get(); }
	bool complete() const noexcept { return known_.size() == peers && !of_this_peer_; }

	void pump()
	{
		using result = ivshmem::incoming::result;

		for (;;) {
			std::error_code ec;
			const result got = incoming_.receive(socket_.get(), ec);

			if (got == result::would_block)
				return;
			if (got != result::complete)
				throw std::runtime_error{"the server hung up: " + ec.message()};
			take(incoming_.value(), static_cast<bool>(incoming_.take_fd()));
		}
	}

private:
	void take(std::int64_t value, bool with_fd)
	{
		const std::size_t at = messages_++;
		bool right = false;

		if (at == 0)
			right = value == ivshmem::protocol_version && !with_fd;
		else if (at == 1)
			right = value >= 0 && value <= ivshmem::id_max && !with_fd;
		else if (at == 2)
			right = value == ivshmem::memory_marker && with_fd;
		else
			right = with_fd && take_vector(value);
		if (!right)
			throw std::runtime_error{"the server's messages are not in order"};
	}

	bool take_vector(std::int64_t id)
	{
		if (!of_this_peer_) {
			if (!known_.insert(id).second)
				return false;
			this_peer_ = id;
		}
		of_this_peer_ = (of_this_peer_ + 1) % vectors;
		return id == this_peer_;
	}

	unique_fd socket_;
	ivshmem::incoming incoming_;
	std::size_t messages_ = 0;
	std::set<std::int64_t> known_;
	std::int64_t this_peer_ = -1;
	unsigned of_this_peer_ = 0;
};

/* Until each of them knows each vector of each of them. */
void pump_all(std::vector<peer> &all)
{
	std::vector<pollfd> waiting;

	for (;;) {
		waiting.clear();
		for (const peer &one : all)
			waiting.push_back({one.complete() ? -1 : one.fd(), POLLIN, 0});
		if (std::ranges::all_of(waiting, [](const pollfd &p) { return p.fd < 0; }))
			return;
		::poll(waiting.data(), waiting.size(), -1);
		for (std::size_t i = 0; i < all.size(); ++i)
			if (waiting[i].revents)
				all[i].pump();
	}
}

void measure(sample_file &out, unsigned round)
{
	const scratch_directory directory;
	const auto socket = directory.path() / "socket";
	const server_process server{socket};
	const double used = server.cpu_seconds();
	const auto start = clock::now();
	std::vector<peer> all;

	for (unsigned i = 0; i < peers; ++i)
		all.emplace_back(socket);
	pump_all(all);
	sample made{"server", "kvmchan", "s", std::chrono::duration<double>{clock::now() - start}.count()};

	made.channels = peers;
	made.round = round;
	made.count = peers * (3 + peers * vectors);
	made.what = "until all peers know all vectors";
	out.write(made);
	made.what = "CPU time of the server for that";
	made.value = server.cpu_seconds() - used;
	out.write(made);
	made.what = "descriptors of the server";
	made.unit = "1";
	made.value = static_cast<double>(server.descriptors());
	out.write(made);
}

} // namespace

void run_server(sample_file &out, const plan &how)
{
	if (!out.wants("server", "kvmchan"))
		return;
	for (unsigned round = 0; round < how.rounds; ++round)
		measure(out, round);
}

} // namespace kvmchan::bench
