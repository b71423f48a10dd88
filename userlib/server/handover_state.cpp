// SPDX-License-Identifier: MIT
#include "handover_state.hpp"

#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace kvmchan {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(message_state, value, fd)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(peer_state, id, vm, connected, joined, sending, head_sent, queue)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(vm_state, name, id, socket)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(region_shape, name, socket, memory_name, size, memory, vectors, raw, vms)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(region_state, shape, tag, made_memory, tick, next_id, resting, parked, peers,
                                   configured)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(server_state, sequence, pid, regions)

namespace {

using nlohmann::json;

[[noreturn]] void damaged(const std::string &why)
{
	throw std::system_error{std::make_error_code(std::errc::bad_message), why};
}

} // namespace

unique_fd inherited_region::take(const std::string &name)
{
	auto found = fds.extract(name);

	if (found.empty())
		throw std::system_error{EBADF, std::system_category(), fmt::format("descriptor \"{}\" is missing", name)};
	return std::move(found.mapped());
}

std::string encode_state(const server_state &state)
{
	return json{{"kvmchan", handover_version}, {"server", state}}.dump(-1, ' ', false, json::error_handler_t::replace);
}

server_state decode_state(const std::string &text)
{
	bool fractions = false;
	const auto look = [&](int, json::parse_event_t, const json &value) {
		fractions = fractions || value.is_number_float();
		return true;
	};
	const json whole = json::parse(text, look, false);

	if (!whole.is_object() || !whole.contains("kvmchan"))
		damaged("it is no JSON object of ours");
	if (whole["kvmchan"] != handover_version)
		damaged(fmt::format("its version is {}, not {}", whole["kvmchan"].dump(), handover_version));
	/* There is no other number that they could be taken for. */
	if (fractions)
		damaged("a number in it has a fraction");
	try {
		const json &given = whole.at("server");
		server_state state = given.get<server_state>();

		/* What does not fit its field was cut to another number. */
		if (json(state) != given)
			damaged("a value in it is none of ours");
		return state;
	} catch (const json::exception &error) {
		damaged(error.what());
	}
}

std::string memory_fd_name(unsigned tag)
{
	return fmt::format("{}m", tag);
}

std::string client_memory_fd_name(unsigned tag)
{
	return fmt::format("{}p", tag);
}

std::string manager_fd_name(unsigned tag)
{
	return fmt::format("{}k", tag);
}

std::string socket_fd_name(unsigned tag, unsigned which)
{
	return fmt::format("{}s{}", tag, which);
}

std::string lock_fd_name(unsigned tag, unsigned which)
{
	return fmt::format("{}l{}", tag, which);
}

std::string client_fd_name(unsigned tag, std::uint64_t joined)
{
	return fmt::format("{}c{}", tag, joined);
}

std::string bell_fd_name(unsigned tag, std::uint16_t peer, std::size_t vector)
{
	return fmt::format("{}b{}.{}", tag, peer, vector);
}

std::string queued_fd_name(unsigned tag, std::uint64_t joined, std::size_t index)
{
	return fmt::format("{}q{}.{}", tag, joined, index);
}

} // namespace kvmchan
