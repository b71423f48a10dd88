// SPDX-License-Identifier: MIT
// What a former server is said to have left: a state of any text, and not all of
// its descriptors, or others. A server goes on with it or says that it cannot.
#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include <asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <unistd.h>

#include "descriptor_kinds.hpp"
#include "doorbell.hpp"
#include "handover_state.hpp"
#include "input.hpp"
#include "open_descriptors.hpp"
#include "passing.hpp"
#include "private_directory.hpp"
#include "region_image.hpp"
#include "region_service.hpp"
#include "require.hpp"

namespace kvmchan::fuzz {
namespace {

constexpr unsigned vectors = 2;
constexpr std::uint16_t vm_id = 1;
/* A server that holds more has more to do, but nothing else. */
constexpr std::size_t most_peers = 16;
constexpr std::size_t most_queued = 32;

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

region_config served_region(bool with_vm)
{
	region_config region;
	vm_config vm;
	slot_config slot;

	region.socket = place() / "s";
	region.size = usual_size;
	region.vectors = vectors;
	vm.name = "front";
	vm.id = vm_id;
	if (with_vm)
		region.vms = {vm};
	slot.spec.name = "stream";
	slot.spec.side = {KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY};
	slot.spec.size = {4096, 8192};
	region.slots = {slot};
	complete(region);
	return region;
}

/* The first bytes of an input, a byte for each descriptor: 0 leaves it as it is. */
class replacements {
public:
	explicit replacements(input &from)
	{
		const auto bytes = from.bytes(from.byte() % 16);

		bytes_.assign(bytes.begin(), bytes.end());
	}

	/* In the place of @p right: that one, none, or one of another kind. */
	unique_fd choose(unique_fd right)
	{
		const std::uint8_t what = next_ < bytes_.size() ? bytes_[next_++] : std::uint8_t{0};

		if (what == 0)
			return right;
		return what & 1 ? unique_fd{} : copy(kinds()[what >> 1]);
	}

	static unique_fd copy(int fd) { return unique_fd{::fcntl(fd, F_DUPFD_CLOEXEC, 0)}; }

private:
	std::vector<std::uint8_t> bytes_;
	std::size_t next_ = 0;
};

/* The descriptors that a state speaks of, as a server would have left them. */
class left_over {
public:
	left_over(const region_state &state, const region_config &region, replacements &with) : tag_{state.tag}, with_{with}
	{

		add(memory_fd_name(tag_), region_memory());
		add(manager_fd_name(tag_), replacements::copy(kinds()[descriptor_kinds::memory]));
		listen(region.socket, 0);
		for (const vm_config &vm : region.vms)
			listen(vm.socket, 2U + *vm.id);
		for (const peer_state &peer : state.peers)
			add_peer(peer);
	}

	fd_bag take() { return std::move(bag_); }
	/* Whoever is connected hangs up. */
	void hang_up() { others_.clear(); }

private:
	void add(const std::string &name, unique_fd right)
	{
		if (unique_fd chosen = with_.choose(std::move(right)))
			bag_.insert_or_assign(name, std::move(chosen));
	}

	static unique_fd region_memory()
	{
		const auto &image = usual_region();
		unique_fd made{::memfd_create("kvmchan-fuzz-left", MFD_CLOEXEC)};

		require(::pwrite(made.get(), image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()), "memory is made");
		return made;
	}

	static unique_fd bell()
	{
		std::error_code ec;

		return make_doorbell(ec);
	}

	void listen(const std::filesystem::path &path, unsigned which)
	{
		unix_listener listener = unix_listener::listen(path, 0600);

		add(socket_fd_name(tag_, which), replacements::copy(listener.fd()));
		add(lock_fd_name(tag_, which), replacements::copy(listener.lock_fd()));
		listener.leave();
	}

	void add_peer(const peer_state &peer)
	{
		for (unsigned v = 0; v < vectors; ++v)
			add(bell_fd_name(tag_, peer.id, v), bell());
		if (peer.connected) {
			auto [ours, theirs] = connected_sockets();

			add(client_fd_name(tag_, peer.joined), std::move(ours));
			others_.push_back(std::move(theirs));
		}
		for (const message_state &message : peer.queue)
			if (!message.fd.empty() && !bag_.contains(message.fd))
				add(message.fd, bell());
	}

	unsigned tag_;
	replacements &with_;
	fd_bag bag_;
	std::vector<unique_fd> others_;
};

/* ---- a state that is whole, whatever it says ---- */

constexpr unsigned tag = 3;

message_state read_message(input &from)
{
	message_state message;

	message.value = static_cast<std::int64_t>(from.offset());
	switch (from.byte() % 4) {
	case 0:
		message.fd = client_memory_fd_name(tag);
		break;
	case 1:
		message.fd = bell_fd_name(tag, from.byte() % 4, from.byte() % 3);
		break;
	case 2:
		message.fd = queued_fd_name(tag, from.byte() % 4, from.byte() % 2);
		break;
	default:
		break;
	}
	return message;
}

peer_state read_peer(input &from)
{
	const std::uint8_t what = from.byte();
	peer_state peer;

	peer.id = from.byte() % 5;
	peer.vm = what & 1 ? "front" : "";
	peer.connected = what & 2;
	peer.sending = what & 4;
	peer.joined = from.byte() % 5;
	peer.head_sent = what & 8 ? from.byte() % 10 : 0;
	for (unsigned left = what >> 4 & 3; left; --left)
		peer.queue.push_back(read_message(from));
	return peer;
}

region_state read_state(input &from)
{
	const std::uint8_t what = from.byte();
	region_state state;

	state.tag = tag;
	state.made_memory = what & 1;
	state.tick = from.byte();
	state.next_id = static_cast<std::uint16_t>(from.number(2));
	if (what & 2)
		state.resting.emplace_back(from.byte() % 5, from.byte());
	if (what & 4)
		state.parked.push_back(from.byte() % 5);
	if (what & 8)
		state.configured = {"stream", "packet", "gone"};
	if (what & 64)
		state.shape.vms.push_back({"front", vm_id, ""});
	/* The VM, as it has to be, or as it comes. */
	if (what & 16)
		state.peers.push_back({vm_id, "front", (what & 32) != 0, from.byte() % 5U, false, 0, {}});
	while (!from.empty() && state.peers.size() < most_peers)
		state.peers.push_back(read_peer(from));
	return state;
}

bool small(const region_state &state)
{
	return state.peers.size() <= most_peers && std::ranges::all_of(state.peers, [](const peer_state &peer) {
		       return peer.queue.size() <= most_queued;
	       });
}

/* What a server leaves again is a state, too. */
void check_left(const region_service &service)
{
	server_state state;
	fd_names fds;

	state.regions.push_back(service.save(fds, true));
	for (const auto &[name, fd] : fds)
		require(::fcntl(fd, F_GETFD) >= 0, "what is left is open");

	const std::string text = encode_state(state);

	require(encode_state(decode_state(text)) == text, "a state is read as it is written");
}

void go_on(const region_state &state, replacements &with)
{
	asio::io_context io;
	const region_config config = served_region(!state.shape.vms.empty());
	left_over left{state, config, with};

	try {
		region_service service{io, config, state.tag, inherited_region{state, left.take()}};

		service.start();
		io.poll();
		check_left(service);
		/* Somebody comes, all others go. */
		std::error_code ec;
		const unique_fd visitor = unix_connect(config.socket, ec);

		io.poll();
		left.hang_up();
		io.poll();
		check_left(service);
	} catch (const std::system_error &error) {
		require(!error_text(error).empty(), "a refusal says why");
	}
}

void decode(const std::string &text, replacements &with)
{
	server_state state;

	try {
		state = decode_state(text);
	} catch (const std::system_error &) {
		return;
	}
	require(nlohmann::json::parse(encode_state(state)).at("server") == nlohmann::json::parse(text).at("server"),
	        "a state is what its text says");
	if (!state.regions.empty() && small(state.regions.front()))
		go_on(state.regions.front(), with);
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	kvmchan::fuzz::input in{data, size};

	spdlog::set_level(spdlog::level::off);
	kvmchan::fuzz::kinds();
	kvmchan::fuzz::place();
	const kvmchan::fuzz::open_descriptors none_left;
	const bool is_text = in.byte() == 0;
	kvmchan::fuzz::replacements with{in};

	if (is_text)
		kvmchan::fuzz::decode(std::string{in.rest()}, with);
	else
		kvmchan::fuzz::go_on(kvmchan::fuzz::read_state(in), with);
	return 0;
}
