// SPDX-License-Identifier: MIT
#include "served_region.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <system_error>

#include <stdlib.h>

namespace kvmchan::bench {
namespace {

constexpr std::uint64_t page = 4096;
/* Beside the rings each channel has pages for its indices and sessions. */
constexpr std::uint64_t pages_of_a_channel = 8;
constexpr std::uint64_t pages_of_the_table = 256;

std::uint64_t size_of(const region_shape &shape)
{
	const std::uint64_t channel = 2 * shape.ring + pages_of_a_channel * page;

	return std::bit_ceil(shape.channels * channel + pages_of_the_table * page);
}

slot_config slot_of(const region_shape &shape, unsigned index)
{
	slot_config slot;

	slot.spec.name = "c" + std::to_string(index);
	slot.spec.mode = static_cast<kvmchan_mode>(shape.mode);
	slot.spec.size = {shape.ring, shape.ring};
	slot.sides = {"host", "host"};
	slot.origin = "benchmark";
	return slot;
}

server_config one(region_config region)
{
	server_config config;

	config.regions.push_back(std::move(region));
	return config;
}

} // namespace

scratch_directory::scratch_directory()
{
	std::string name = (std::filesystem::temp_directory_path() / "kvmchan-bench.XXXXXX").string();

	if (!::mkdtemp(name.data()))
		throw std::system_error{errno, std::system_category(), name};
	path_ = name;
}

scratch_directory::~scratch_directory()
{
	std::error_code ec;

	std::filesystem::remove_all(path_, ec);
}

region_config config_of(const region_shape &shape, const std::filesystem::path &socket)
{
	region_config config;

	config.socket = socket;
	config.size = size_of(shape);
	config.vectors = shape.vectors;
	config.max_clients = shape.clients;
	if (shape.channels > 1)
		config.table_slots = std::bit_ceil(shape.channels);
	for (unsigned i = 0; i < shape.channels; ++i)
		config.slots.push_back(slot_of(shape, i));
	return config;
}

served_region::served_region(const region_shape &shape)
	: server_{one(config_of(shape, directory_.path() / "socket"))}, thread_{[this] { server_.run(); }}
{
	for (auto &side : sides_)
		side = std::make_unique<region>(region::attach(directory_.path() / "socket"));
}

served_region::~served_region()
{
	for (auto &side : sides_)
		side.reset();
	server_.stop();
	thread_.join();
}

channel served_region::open(unsigned which, channel_options options, unsigned index) const
{
	options.side = which;
	return channel{side(which), "c" + std::to_string(index), options};
}

void connect(channel &a, channel &b)
{
	const std::array<std::byte, 1> out{};
	std::array<std::byte, 1> in{};

	for (auto &[from, to] : {std::pair<channel &, channel &>{a, b}, {b, a}}) {
		const bool waits = !to.non_blocking();

		from.write_all(out);
		to.non_blocking(false);
		to.read_some(in);
		to.non_blocking(!waits);
	}
}

} // namespace kvmchan::bench
