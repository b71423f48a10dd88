// SPDX-License-Identifier: MIT
#include "device_raw.hpp"

#include <cerrno>

#include <fcntl.h>

#include "failure.hpp"
#include "unique_fd.hpp"

namespace kvmchan::detail {
namespace {

/* Registers of the device, in words of 32 bits; it knows no other accesses. */
constexpr unsigned ivposition = 8 / 4;
constexpr unsigned doorbell = 12 / 4;
constexpr std::size_t registers_size = 256;

unique_fd open_resource(const std::filesystem::path &file)
{
	return unique_fd{::open(file.c_str(), O_RDWR | O_CLOEXEC | O_SYNC)};
}

mapping map_resource(const unique_fd &file, std::uint64_t size, const std::filesystem::path &path)
{
	std::error_code ec;

	if (!file)
		fail(errno, path.string());
	mapping made{file.get(), static_cast<std::size_t>(size), ec};

	if (ec)
		throw std::system_error{ec, path.string() + ": mapping (the kernel refuses it to others than root, and in "
		                                            "lockdown)"};
	return made;
}

} // namespace

device_raw::device_raw(const std::string &address, const std::filesystem::path &sys)
{
	const auto entry = find_device(address, sys);
	const std::filesystem::path device = sys / "bus/pci/devices" / address;

	if (!entry)
		fail(ENODEV, "there is no ivshmem device at " + address + " (\"kvmchan ls\" shows them)");
	if (!entry->driver.empty())
		fail(EBUSY, "ivshmem device " + address + " has the driver " + entry->driver + ": unbind it first");
	if (!entry->memory_size)
		fail(ENXIO, "ivshmem device " + address + " has no memory: its BAR2 found no room");
	doorbell_ = entry->doorbell;

	/* The prefetchable BAR has a write-combining file where the kernel offers one. */
	unique_fd memory = open_resource(device / "resource2_wc");

	if (!memory)
		memory = open_resource(device / "resource2");
	memory_ = map_resource(memory, entry->memory_size, device / "resource2");
	registers_ = map_resource(open_resource(device / "resource0"), registers_size, device / "resource0");
}

volatile std::uint32_t *device_raw::registers() const noexcept
{
	return reinterpret_cast<volatile std::uint32_t *>(registers_.bytes().data());
}

int device_raw::id() const noexcept
{
	return static_cast<int>(registers()[ivposition]);
}

int device_raw::ring(std::uint16_t peer, std::uint8_t vector) noexcept
{
	if (!doorbell_)
		return -ENOTSUP;
	/* What was stored is to be seen by who is rung. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	registers()[doorbell] = static_cast<std::uint32_t>(peer) << 16 | vector;
	return 0;
}

} // namespace kvmchan::detail
