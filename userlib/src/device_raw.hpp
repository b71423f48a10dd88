// SPDX-License-Identifier: MIT
// An ivshmem device without a driver.
#ifndef KVMCHAN_DEVICE_RAW_HPP
#define KVMCHAN_DEVICE_RAW_HPP

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "device_list.hpp"
#include "memory.hpp"

namespace kvmchan::detail {

/** Its memory and registers, mapped through sysfs. Any thread. */
class device_raw {
public:
	/** Throws std::system_error: ENODEV no such device, EBUSY a driver has it. */
	explicit device_raw(const std::string &address, const std::filesystem::path &sys = sysfs);

	std::span<std::byte> bytes() const noexcept { return memory_.bytes(); }
	int id() const noexcept;
	int ring(std::uint16_t peer, std::uint8_t vector) noexcept;

private:
	volatile std::uint32_t *registers() const noexcept;

	bool doorbell_ = false;
	mapping memory_;
	mapping registers_;
};

} // namespace kvmchan::detail

#endif
