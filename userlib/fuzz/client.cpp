// SPDX-License-Identifier: MIT
// What a hostile ivshmem server sends to the library's client: any numbers in
// pieces of any size, with any descriptors. No more is kept than the limits
// allow, and nothing is left open.
#include <array>
#include <cstring>
#include <set>
#include <system_error>
#include <vector>

#include <sys/stat.h>

#include "descriptor_kinds.hpp"
#include "doorbell.hpp"
#include "input.hpp"
#include "ivshmem_client.hpp"
#include "memory.hpp"
#include "open_descriptors.hpp"
#include "passing.hpp"
#include "require.hpp"

namespace kvmchan::fuzz {
namespace {

constexpr ivshmem_client_options limits{.vectors = 1, .vectors_max = 3, .eventfds_max = 8};

const descriptor_kinds &kinds()
{
	static const descriptor_kinds made;

	return made;
}

/* What pump() says has to be what the client has. */
class witness final : public ivshmem_observer {
public:
	explicit witness(const ivshmem_client &client) : client_{client} {}

	void vector_added(std::uint16_t id, std::size_t vectors) override
	{
		require(vectors == client_.vectors(id) && vectors <= limits.vectors_max, "a vector is counted");
		there_.insert(id);
	}

	void peer_left(std::uint16_t id) override
	{
		require(there_.erase(id) == 1, "who leaves was there");
		require(client_.vectors(id) == 0, "nothing of who left is kept");
	}

	const std::set<std::uint16_t> &there() const noexcept { return there_; }

private:
	const ivshmem_client &client_;
	std::set<std::uint16_t> there_;
};

/* One message, or a part of one, or more than one. */
std::vector<std::uint8_t> read_message(std::uint8_t how, input &from)
{
	std::int64_t value = 0;
	std::vector<std::uint8_t> bytes(sizeof(value));

	switch (how & 3) {
	case 0:
		value = from.byte() % 8;
		break;
	case 1:
		value = static_cast<std::int64_t>(from.offset());
		break;
	case 2:
		value = static_cast<std::int64_t>(from.number(8));
		break;
	default:
		const auto raw = from.bytes(1 + from.byte() % 20);

		return {raw.begin(), raw.end()};
	}
	std::memcpy(bytes.data(), &value, sizeof(value));
	return bytes;
}

bool send_message(int socket, input &from)
{
	const std::uint8_t how = from.byte();
	const std::size_t count = how >> 2 & 1 ? how >> 6 ? std::min<std::size_t>(how >> 6, most_passed) : 1U : 0U;
	const std::vector<std::uint8_t> bytes = read_message(how, from);
	std::array<int, most_passed> fds{};

	for (std::size_t i = 0; i < count; ++i)
		fds.at(i) = kinds()[static_cast<unsigned>((how >> 3 & 7) + i)];
	return !bytes.empty() && pass(socket, bytes, std::span{fds}.first(count));
}

void check(const ivshmem_client &client, const witness &seen)
{
	std::size_t eventfds = 0;

	for (const std::uint16_t id : seen.there()) {
		eventfds += client.vectors(id);
		for (std::size_t v = 0; v < client.vectors(id); ++v)
			require(is_doorbell(client.vector_fd(id, v)), "a doorbell is one");
		require(client.vector_fd(id, client.vectors(id)) < 0, "there are no more vectors than there are");
		client.ring(id, 0);
	}
	require(eventfds <= limits.eventfds_max, "no more descriptors are kept than the limit");
	require(client.peers().size() <= seen.there().size(), "the peers are those who were told of");
	if (client.memory_fd() >= 0) {
		struct stat st {};

		require(::fstat(client.memory_fd(), &st) == 0 && S_ISREG(st.st_mode), "memory is a file");
	}
}

/* The handshake of region::attach(), and what comes later; as fast as it comes. */
void attach(input &from)
{
	auto [server, socket] = connected_sockets();
	const bool at_once = from.byte() & 1;
	ivshmem_client client{std::move(socket), limits};
	witness seen{client};
	std::error_code ec;

	while (!from.empty() && !client.closed()) {
		if (!send_message(server.get(), from))
			break;
		if (at_once && !from.empty())
			continue;
		client.pump(&seen, ec);
		check(client, seen);
		require(!client.closed() || ec, "an end has a reason");
	}
	if (from.empty())
		server.reset();
	client.pump(&seen, ec);
	check(client, seen);
	if (client.complete()) {
		memory::adopt(client.take_memory(), ec);
		client.handshake(std::chrono::nanoseconds{0}, ec);
	}
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	kvmchan::fuzz::input in{data, size};

	kvmchan::fuzz::kinds();
	const kvmchan::fuzz::open_descriptors none_left;

	kvmchan::fuzz::attach(in);
	return 0;
}
