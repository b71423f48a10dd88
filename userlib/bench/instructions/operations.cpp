// SPDX-License-Identifier: MIT
// Operations of the library, each so many times in one thread, for a tool that
// counts their instructions. usage: operations NAME; without it, lists them.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string_view>
#include <system_error>

#include "kvmchan/channel.hpp"
#include "kvmchan/region.hpp"
#include "memory.hpp"

namespace {

using namespace kvmchan;

constexpr unsigned times = 1000;

[[noreturn]] void wrong(const char *what)
{
	std::fprintf(stderr, "operations: %s\n", what);
	std::_Exit(1);
}

/** Both ends of a channel in this process, connected, which neither look nor wait. */
class ends {
public:
	explicit ends(channel_mode mode) : memory_{memory::create_memfd("kvmchan-operations", 4U << 20)}
	{
		new_region wanted;

		wanted.slots.push_back({"c", slot_kind::channel, mode, {side_host, side_host}, {65536, 65536}});
		format_region(memory_.fd(), wanted);
		a.emplace(open(0));
		b.emplace(open(1));
		exchange(1);
	}

	channel open(unsigned side) const
	{
		channel_options options;

		options.side = side;
		options.non_blocking = true;
		options.busy_poll = {};
		return channel{region::adopt(memory_.fd()), "c", options};
	}

	void exchange(std::size_t size)
	{
		if (a->write_some(std::span{buffer_}.first(size)) != size)
			wrong("a write is not whole");
		if (b->read_some(buffer_) != size)
			wrong("a read is not whole");
	}

	std::optional<channel> a, b;

private:
	memory memory_;
	std::array<std::byte, 4096> buffer_{};
};

/* What is counted: nothing that is not part of it. */
#define COUNTED extern "C" [[gnu::noinline, gnu::used]] void

COUNTED counted_exchange(ends &over, std::size_t size)
{
	for (unsigned i = 0; i < times; ++i)
		over.exchange(size);
}

COUNTED counted_arm(ends &over)
{
	std::array<std::byte, 64> to;
	std::error_code ec;

	for (unsigned i = 0; i < times; ++i) {
		over.b->read_some(to, ec);
		if (ec != std::errc::operation_would_block)
			wrong("an empty ring has bytes");
	}
}

COUNTED counted_refusal(ends &over)
{
	const std::array<std::byte, 64> from{};
	std::error_code ec;

	for (unsigned i = 0; i < times; ++i) {
		over.a->write_some(from, ec);
		if (ec != std::errc::operation_would_block)
			wrong("a full ring has room");
	}
}

COUNTED counted_session(ends &over)
{
	for (unsigned i = 0; i < times; ++i) {
		over.a->reconnect();
		over.b->reconnect();
		over.exchange(1);
	}
}

template <typename Channel>
void map_bytes(Channel &a, Channel &b, std::size_t size)
{
	for (unsigned i = 0; i < times; ++i) {
		a.reserve(size);
		a.commit(size);
		if (b.peek().size() < size)
			wrong("what was committed is not all there");
		b.consume(size);
	}
}

template <typename Channel>
concept has_mapping = requires(Channel over) { over.commit(over.reserve().size()); };

COUNTED counted_mapping([[maybe_unused]] ends &over, [[maybe_unused]] std::size_t size)
{
	if constexpr (has_mapping<channel>)
		map_bytes(*over.a, *over.b, size);
}

void fill(channel &to)
{
	const std::array<std::byte, 4096> from{};
	std::error_code ec;

	while (!ec)
		to.write_some(from, ec);
}

struct operation {
	const char *name;
	channel_mode mode;
	void (*run)(ends &);
};

constexpr auto stream = channel_mode::stream, packet = channel_mode::packet;

constexpr operation operations[] = {
	{"write_read_64", stream, [](ends &over) { counted_exchange(over, 64); }},
	{"write_read_4096", stream, [](ends &over) { counted_exchange(over, 4096); }},
	{"send_recv_64", packet, [](ends &over) { counted_exchange(over, 64); }},
	{"read_nothing", stream, [](ends &over) { counted_arm(over); }},
	{"write_when_full", stream,
         [](ends &over) {
		 fill(*over.a);
		 counted_refusal(over);
	 }},
	{"new_session", stream, [](ends &over) { counted_session(over); }},
};

constexpr operation mapped_operations[] = {
	{"mapped_64", stream, [](ends &over) { counted_mapping(over, 64); }},
	{"mapped_record_64", packet, [](ends &over) { counted_mapping(over, 64); }},
};

template <typename Each>
void for_all(Each each)
{
	for (const operation &one : operations)
		each(one);
	if constexpr (has_mapping<channel>)
		for (const operation &one : mapped_operations)
			each(one);
}

} // namespace

int main(int argc, char **argv)
{
	bool found = false;

	try {
		for_all([&](const operation &one) {
			if (argc < 2) {
				std::printf("%s %u\n", one.name, times);
			} else if (std::string_view{argv[1]} == one.name) {
				ends over{one.mode};

				one.run(over);
				found = true;
			}
		});
	} catch (const std::exception &error) {
		wrong(error.what());
	}
	return argc < 2 || found ? 0 : 2;
}
