// SPDX-License-Identifier: MIT
// What clients of a server send to its sockets, with descriptors, and how they
// come and go. A client that behaves is served all the time, without a mistake.
#include <array>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "descriptor_kinds.hpp"
#include "input.hpp"
#include "ivshmem_client.hpp"
#include "open_descriptors.hpp"
#include "passing.hpp"
#include "private_directory.hpp"
#include "require.hpp"
#include "server.hpp"

namespace kvmchan::fuzz {
namespace {

using nlohmann::json;

constexpr unsigned vectors = 2;
constexpr std::size_t most_visitors = 6;
/* At the end: so that the server has seen all there was. */
constexpr unsigned last_rounds = 3;

const descriptor_kinds &kinds()
{
	static const descriptor_kinds made;

	return made;
}

const private_directory &place()
{
	static const private_directory made;

	return made;
}

region_config served_region()
{
	region_config region;
	vm_config vm;
	slot_config slot;

	region.socket = place() / "s";
	region.size = 128 * 1024;
	region.vectors = vectors;
	region.max_clients = 4;
	vm.name = "front";
	vm.id = 1;
	region.vms = {vm};
	slot.spec.name = "c0";
	slot.spec.size = {4096, 4096};
	slot.origin = "fuzz";
	region.slots = {slot};
	return region;
}

/* ---- a client that behaves ---- */

class good_client {
public:
	explicit good_client(const region_config &region)
		: client_{connection(region.socket), {}}, control_{connection(control_path(region.socket))}
	{
	}

	/* Has the loop come back here, once it has seen to all others. */
	void ask_for_a_turn() const
	{
		constexpr std::string_view request = "{\"cmd\":\"reload\"}\n";

		require(::send(control_.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
		                static_cast<ssize_t>(request.size()),
		        "the control socket stays open");
	}

	void look()
	{
		std::error_code ec;

		client_.pump(nullptr, ec);
		require(!ec, "a client that behaves is told nothing wrong");
		if (!client_.complete())
			return;
		require(client_.vectors() == vectors, "own vectors come whole");
		for (const std::uint16_t peer : client_.peers())
			require(client_.vectors(peer) == vectors, "a peer's vectors come whole");
	}

	/* Each request has got its reply, and it was a good one. */
	void hear()
	{
		std::array<char, 4096> chunk;
		ssize_t length = 0;

		while ((length = ::recv(control_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT)) > 0)
			for (const char c : std::span{chunk}.first(static_cast<std::size_t>(length)))
				hear(c);
		require(length < 0 && errno == EAGAIN, "the control socket stays open");
	}

private:
	static unique_fd connection(const std::filesystem::path &path)
	{
		std::error_code ec;
		unique_fd made = unix_connect(path, ec);

		require(!ec, "there is a server");
		return made;
	}

	void hear(char c)
	{
		line_ += c;
		if (c != '\n')
			return;
		require(line_ == "{\"ok\":true}\n", "a request is answered");
		line_.clear();
	}

	ivshmem_client client_;
	unique_fd control_;
	std::string line_;
};

/* ---- those who do not ---- */

std::string name_of(input &from)
{
	const std::uint8_t which = from.byte();
	static constexpr std::array names{"a", "b", "c0", "block"};

	return which & 0x80 ? std::string{from.text(which & 0x3f)} : std::string{names.at(which % names.size())};
}

json size_of(input &from)
{
	const std::uint8_t which = from.byte();

	switch (which % 5) {
	case 0:
		return 4096U << (which >> 4);
	case 1:
		return {4096, 4096U << (which >> 4)};
	case 2:
		return "8K";
	case 3:
		return from.number(8);
	default:
		return from.text(which >> 3);
	}
}

json sides_of(input &from)
{
	static constexpr std::array names{"host", "any", "front", "1", "2", "back", ""};
	json sides = json::array();

	for (std::uint8_t left = from.byte() % 4; left; --left)
		sides.push_back(names.at(from.byte() % names.size()));
	return sides;
}

/* A request, or something like one. */
json read_request(input &from)
{
	static constexpr std::array commands{"status", "ring", "add", "remove", "restart", "reload", "none"};
	const std::uint8_t has = from.byte();
	json request{{"cmd", commands.at(from.byte() % commands.size())}};

	if (has & 1)
		request["name"] = name_of(from);
	if (has & 2)
		request["kind"] = from.byte() % 4 ? "memory" : "channel";
	if (has & 4)
		request["mode"] = from.byte() % 4 ? "packet" : "stream";
	if (has & 8)
		request["size"] = size_of(from);
	if (has & 16)
		request["sides"] = sides_of(from);
	if (has & 32)
		request["peer"] = has & 128 ? from.number(5) : from.byte() % 4;
	if (has & 64)
		request["vector"] = has & 128 ? from.number(5) : from.byte() % 4;
	return request;
}

class visitor {
public:
	void connect(const std::filesystem::path &path)
	{
		std::error_code ec;

		socket_ = unix_connect(path, ec);
	}

	void send(std::string_view bytes, std::span<const int> fds) const
	{
		if (socket_)
			pass(socket_.get(), {reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()}, fds);
	}

	void shut(int how) const
	{
		if (socket_)
			::shutdown(socket_.get(), how);
	}

	void take() const
	{
		std::array<char, 4096> chunk;

		while (socket_ && ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT) > 0)
			;
	}

	void close() noexcept { socket_.reset(); }

private:
	unique_fd socket_;
};

class trial {
public:
	explicit trial(input &from) : in_{from}, region_{served_region()}, server_{server_config{{region_}}}, good_{region_} {}

	void run()
	{
		server_.set_reload_source([this] {
			turn();
			return server_config{{region_}};
		});
		good_.ask_for_a_turn();
		server_.run();
	}

private:
	void turn()
	{
		good_.look();
		good_.hear();
		if (in_.empty() && ++rounds_ > last_rounds)
			return server_.stop();
		/* Some do several things before the server gets to any of them. */
		for (unsigned left = 1 + in_.byte() % 8; left && !in_.empty(); --left)
			step();
		good_.ask_for_a_turn();
	}

	void step();
	void send(visitor &from_whom);

	input &in_;
	region_config region_;
	server server_;
	good_client good_;
	std::array<visitor, most_visitors> visitors_;
	unsigned rounds_ = 0;
};

void trial::send(visitor &from_whom)
{
	const std::uint8_t how = in_.byte();
	std::array<int, most_passed> fds{};
	const std::size_t count = how >> 5 & 3;

	for (std::size_t i = 0; i < count; ++i)
		fds.at(i) = kinds()[static_cast<unsigned>((how >> 2 & 7) + i)];
	if (how & 1)
		from_whom.send(in_.text(in_.byte()), std::span{fds}.first(count));
	else
		from_whom.send(read_request(in_).dump(-1, ' ', false, json::error_handler_t::replace) + (how & 2 ? "\n" : ""),
		               std::span{fds}.first(count));
}

void trial::step()
{
	const std::uint8_t what = in_.byte();
	visitor &who = visitors_.at((what >> 3) % most_visitors);

	switch (what & 7) {
	case 0:
		return who.connect(region_.socket);
	case 1:
		return who.connect(region_.socket.string() + ".front");
	case 2:
		return who.connect(control_path(region_.socket));
	case 3:
	case 4:
		return send(who);
	case 5:
		return who.shut(what & 64 ? SHUT_RD : SHUT_WR);
	case 6:
		return who.take();
	default:
		return who.close();
	}
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	kvmchan::fuzz::input in{data, size};

	spdlog::set_level(spdlog::level::off);
	kvmchan::fuzz::kinds();
	const kvmchan::fuzz::open_descriptors none_left;

	kvmchan::fuzz::trial{in}.run();
	return 0;
}
