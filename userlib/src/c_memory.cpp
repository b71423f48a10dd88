// SPDX-License-Identifier: MIT
// The C API's memory blocks.
#include <chrono>
#include <cstdint>

#include "c_objects.hpp"

using namespace kvmchan::detail;

namespace {

template <typename Open>
int open_block(kvmchan_memory **out, Open open) noexcept
{
	if (!out)
		return refuse("memory block: nowhere to put it");
	*out = nullptr;
	return guarded([&] {
		auto made = std::make_unique<kvmchan_memory>();

		made->it = open();
		*out = made.release();
		return 0;
	});
}

} // namespace

int kvmchan_memory_open(const char *device, kvmchan_memory **out)
{
	if (!device)
		return refuse("memory block: no device");
	return open_block(out, [&] { return block_end::open_device(device); });
}

int kvmchan_memory_connect(kvmchan_region *region, const char *name, kvmchan_memory **out)
{
	if (!region || !name)
		return refuse("memory block: no region or no name");
	return open_block(out, [&] { return block_end::open_host(region->it, name); });
}

void kvmchan_memory_close(kvmchan_memory *memory)
{
	delete memory;
}

void *kvmchan_memory_address(kvmchan_memory *memory)
{
	return memory->it->bytes().data();
}

size_t kvmchan_memory_size(kvmchan_memory *memory)
{
	return memory->it->bytes().size();
}

int kvmchan_memory_signal(kvmchan_memory *memory)
{
	return memory->it->signal();
}

int kvmchan_memory_count(kvmchan_memory *memory, uint64_t *count)
{
	*count = 0;
	return memory->it->count(*count);
}

int kvmchan_memory_wait(kvmchan_memory *memory, uint64_t *count, int64_t timeout_ns)
{
	return memory->it->wait(*count, std::chrono::nanoseconds{timeout_ns});
}
