// SPDX-License-Identifier: MIT
// Configuration files. One that is taken is within all limits; one that is
// refused is refused with the place where it is wrong.
#include <set>
#include <string>
#include <system_error>

#include <sys/mman.h>
#include <unistd.h>

#include "config.hpp"
#include "memory_size.hpp"
#include "require.hpp"
#include "table.h"
#include "unique_fd.hpp"
#include "vm_options.hpp"

namespace kvmchan::fuzz {
namespace {

void check_region(const region_config &region)
{
	std::set<std::uint16_t> ids;

	require(is_region_size(region.size), "a region's size is one that QEMU takes");
	require(!region.socket.empty() && !region.name.empty(), "a region has a name and a socket");
	require(region.vectors >= 1 && region.vectors <= region_vectors_max, "vectors are within their limits");
	require(region.max_clients >= 1 && region.max_clients <= region_clients_max, "clients are within their limits");
	require(region.mode <= 0777, "a mode is one of a file");
	require(region.memory == memory_kind::memfd || !region.memory_name.empty(), "memory outside has a name");
	for (const vm_config &vm : region.vms)
		require(vm.id && ids.insert(*vm.id).second && !vm.socket.empty(), "a VM has an ID and a socket of its own");
	for (const slot_config &slot : region.slots) {
		require(kvmchan_side_ok(slot.spec.side[0]) && kvmchan_side_ok(slot.spec.side[1]), "sides are resolved");
		if (slot.spec.kind == KVMCHAN_KIND_CHANNEL)
			require(kvmchan_ring_size_ok(slot.spec.size[0]) && kvmchan_ring_size_ok(slot.spec.size[1]),
			        "a ring's size is one");
	}
}

void load(const std::string &file)
{
	try {
		server_config config = load_config(file);

		for (const region_config &region : config.regions)
			check_region(region);
		complete(config);
		require(!describe_vm_options(config).empty(), "there is something to give to QEMU");
	} catch (const std::system_error &error) {
		require(!error_text(error).empty(), "a refusal says why");
	}
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	static const kvmchan::unique_fd file{::memfd_create("kvmchan.toml", MFD_CLOEXEC)};
	static const std::string path = "/proc/self/fd/" + std::to_string(file.get());

	kvmchan::fuzz::require(::ftruncate(file.get(), 0) == 0, "the file is empty");
	kvmchan::fuzz::require(::pwrite(file.get(), data, size, 0) == static_cast<ssize_t>(size), "the file is written");
	kvmchan::fuzz::load(path);
	return 0;
}
