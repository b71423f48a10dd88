// SPDX-License-Identifier: MIT
// The C API's regions.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include <fcntl.h>

#include "c_objects.hpp"
#include "region_status.hpp"

#ifndef KVMCHAN_VERSION
#define KVMCHAN_VERSION "0.1.0"
#endif

using namespace kvmchan::detail;

namespace {

thread_local std::string last_error;

bool read_options(const kvmchan_region_options *from, region_options &to) noexcept
{
	kvmchan_region_options given{};

	if (!take_options(from, given) || (given.flags & ~KVMCHAN_REGION_GUARD) || given.reserved)
		return false;
	if (given.timeout_ns > 0)
		to.timeout = std::chrono::nanoseconds{given.timeout_ns};
	to.guard = given.flags & KVMCHAN_REGION_GUARD;
	return true;
}

template <typename Make>
int make_region(const kvmchan_region_options *options, kvmchan_region **out, Make make) noexcept
{
	region_options wanted;

	if (!out)
		return refuse("region: nowhere to put it");
	*out = nullptr;
	if (!read_options(options, wanted))
		return refuse("region: bad options");
	return guarded([&] {
		auto made = std::make_unique<kvmchan_region>();

		made->it = make(wanted);
		*out = made.release();
		return 0;
	});
}

kvmchan_slot_info describe(const region_snapshot &table, std::uint32_t index)
{
	const kvmchan_slot &slot = table.slots()[index];
	const char *const why = table.why_bad(index);
	const std::string_view name = slot_name(slot);
	kvmchan_slot_info info{};

	/* A damaged name is for nobody's terminal. */
	std::transform(name.begin(), name.end(), info.name,
	               [](char c) { return kvmchan_name_char_ok(c, false) ? c : '?'; });
	info.name[sizeof(info.name) - 1] = 0;
	info.kind = slot.kind;
	info.mode = slot.mode;
	info.id = slot.id;
	info.control = slot.control;
	for (unsigned i = 0; i < 2; ++i) {
		info.side[i] = slot.side[i];
		info.offset[i] = slot.data[i];
		info.size[i] = slot.data_size[i];
	}
	if (why)
		std::strncpy(info.problem, why, sizeof(info.problem) - 1);
	return info;
}

} // namespace

namespace kvmchan::detail {

void remember_error(const char *text) noexcept
{
	try {
		last_error = text;
	} catch (const std::bad_alloc &) {
		last_error.clear();
	}
}

int refuse(const char *text) noexcept
{
	remember_error(text);
	return -EINVAL;
}

} // namespace kvmchan::detail

const char *kvmchan_version(void)
{
	return KVMCHAN_VERSION;
}

const char *kvmchan_error_text(void)
{
	return last_error.c_str();
}

int kvmchan_region_attach(const char *socket, const kvmchan_region_options *options, kvmchan_region **out)
{
	if (!socket)
		return refuse("region: no socket");
	return make_region(options, out, [&](const region_options &wanted) { return region::attach(socket, wanted); });
}

int kvmchan_region_open(const char *name_or_path, const kvmchan_region_options *options, kvmchan_region **out)
{
	if (!name_or_path)
		return refuse("region: no name");
	return make_region(options, out, [&](const region_options &wanted) { return region::open(name_or_path, wanted); });
}

int kvmchan_region_adopt(int fd, const kvmchan_region_options *options, kvmchan_region **out)
{
	return make_region(options, out, [&](const region_options &wanted) {
		kvmchan::unique_fd own{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};

		if (!own)
			throw std::system_error{errno, std::system_category(), "region: descriptor " + std::to_string(fd)};
		return region::adopt(std::move(own), wanted);
	});
}

void kvmchan_region_close(kvmchan_region *region)
{
	delete region;
}

int kvmchan_region_describe(kvmchan_region *region, kvmchan_region_info *out)
{
	return guarded([&] {
		const auto table = region->it->refresh();
		const kvmchan_superblock &superblock = table->superblock();
		const region_bells *const bells = region->it->bells();
		kvmchan_region_info info{};

		info.size = superblock.size;
		info.generation = superblock.generation;
		info.slot_count = superblock.slot_count;
		info.peer = bells ? bells->id() : KVMCHAN_PEER_ANY;
		info.vectors = bells ? static_cast<std::uint32_t>(bells->vectors()) : 0;
		info.sealed = region->it->sealed();
		info.managed = (superblock.manager & KVMCHAN_BELL_RINGS) != 0;
		info.server_alive = bells && bells->server_alive();
		std::memcpy(info.incarnation, superblock.incarnation, sizeof(info.incarnation));
		return give_struct(info, out) ? 0 : refuse("region info: bad struct_size");
	});
}

ssize_t kvmchan_region_peers(kvmchan_region *region, uint16_t *ids, size_t max)
{
	if (!region->it->bells())
		return -ENOTCONN;
	return guarded([&] {
		const auto peers = region->it->bells()->peers();

		std::copy_n(peers.begin(), std::min(max, peers.size()), ids);
		return static_cast<int>(peers.size());
	});
}

int kvmchan_region_ring(kvmchan_region *region, uint16_t peer, uint16_t vector)
{
	region_bells *const bells = region->it->bells();

	if (!bells)
		return -ENOTCONN;
	return bells->ring_now(peer, vector) ? 0 : -ENXIO;
}

int kvmchan_region_slot(kvmchan_region *region, uint32_t index, kvmchan_slot_info *out)
{
	return guarded([&] {
		const auto table = region->it->refresh();

		if (index >= table->slots().size())
			return -ERANGE;
		kvmchan_slot_info info = describe(*table, index);

		if (info.kind != KVMCHAN_KIND_FREE && !table->why_bad(index))
			add_status(region->it->bytes(), *table, index, info);
		if (!give_struct(info, out))
			return refuse("slot info: bad struct_size");
		return table->slots()[index].kind == KVMCHAN_KIND_FREE ? 0 : 1;
	});
}
