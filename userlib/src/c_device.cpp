// SPDX-License-Identifier: MIT
// The C API's view of a guest's devices.
#include <algorithm>
#include <cstdint>

#include "c_objects.hpp"
#include "device_list.hpp"
#include "device_raw.hpp"

using namespace kvmchan::detail;

struct kvmchan_device {
	device_raw it;
};

namespace {

template <std::size_t N>
void put(char (&to)[N], const std::string &from) noexcept
{
	std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

kvmchan_device_info describe(const device_entry &entry) noexcept
{
	kvmchan_device_info info{};

	put(info.address, entry.address);
	put(info.driver, entry.driver);
	info.memory_size = entry.memory_size;
	info.doorbell = entry.doorbell;
	return info;
}

kvmchan_node_info describe(const node_entry &entry) noexcept
{
	const channel_counters &from = entry.counters;
	kvmchan_node_info info{};

	put(info.node, entry.node);
	put(info.name, entry.name);
	put(info.device, entry.device);
	put(info.peer, entry.peer);
	info.kind = entry.kind;
	info.mode = entry.mode;
	info.side = entry.side;
	info.state = entry.state;
	info.rx_size = entry.rx_size;
	info.tx_size = entry.tx_size;
	info.counters = {sizeof(info.counters), from.rx_bytes,       from.tx_bytes,
	                 from.rx_records,       from.tx_records,     from.doorbells_sent,
	                 from.doorbells_suppressed, from.interrupts, from.empty_interrupts,
	                 from.ring_full,        from.protocol_errors};
	return info;
}

/* The caller's elements have the size that the first one says. */
template <typename Entry, typename Info>
int give_list(const std::vector<Entry> &entries, Info *list, std::size_t max) noexcept
{
	const std::size_t n = std::min(max, entries.size());
	const std::size_t step = n ? list->struct_size : 0;
	auto *at = reinterpret_cast<std::byte *>(list);

	for (std::size_t i = 0; i < n; ++i, at += step) {
		auto *const to = reinterpret_cast<Info *>(at);
		Info info = describe(entries[i]);

		to->struct_size = step;
		if (!give_struct(info, to))
			return refuse("list: bad struct_size");
	}
	return static_cast<int>(entries.size());
}

} // namespace

ssize_t kvmchan_devices(kvmchan_device_info *list, size_t max)
{
	return guarded([&] { return give_list(list_devices(), list, max); });
}

ssize_t kvmchan_nodes(kvmchan_node_info *list, size_t max)
{
	return guarded([&] { return give_list(list_nodes(), list, max); });
}

int kvmchan_device_open(const char *address, kvmchan_device **out)
{
	if (!address || !out)
		return refuse("device: no address, or nowhere to put it");
	*out = nullptr;
	return guarded([&] {
		*out = new kvmchan_device{device_raw{address}};
		return 0;
	});
}

void kvmchan_device_close(kvmchan_device *device)
{
	delete device;
}

void *kvmchan_device_address(kvmchan_device *device)
{
	return device->it.bytes().data();
}

size_t kvmchan_device_size(kvmchan_device *device)
{
	return device->it.bytes().size();
}

int kvmchan_device_id(kvmchan_device *device)
{
	return device->it.id();
}

int kvmchan_device_ring(kvmchan_device *device, uint16_t peer, uint8_t vector)
{
	return device->it.ring(peer, vector);
}
