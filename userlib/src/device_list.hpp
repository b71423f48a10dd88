// SPDX-License-Identifier: MIT
// ivshmem devices and the module's nodes, as sysfs shows them.
#ifndef KVMCHAN_DEVICE_LIST_HPP
#define KVMCHAN_DEVICE_LIST_HPP

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "channel_end.hpp"

namespace kvmchan::detail {

struct device_entry {
	std::string address;
	std::string driver;
	std::uint64_t memory_size = 0;
	bool doorbell = false;
};

struct node_entry {
	std::string node;
	std::string name;
	std::string device;
	std::uint32_t kind = 0;
	std::uint32_t mode = 0;
	std::uint32_t side = 0;
	std::uint32_t state = 0;
	std::uint64_t rx_size = 0;
	std::uint64_t tx_size = 0;
	std::string peer;
	channel_counters counters;
};

inline const std::filesystem::path sysfs{"/sys"};

/** What is no ivshmem device is left out. */
std::vector<device_entry> list_devices(const std::filesystem::path &sys = sysfs);
/** One device, by its address; nothing if it is none of ivshmem. */
std::optional<device_entry> find_device(const std::string &address, const std::filesystem::path &sys = sysfs);

/** By number. Empty without the module. */
std::vector<node_entry> list_nodes(const std::filesystem::path &sys = sysfs);

/** The counters in a node's directory; what is not there is 0. */
channel_counters read_counters(const std::filesystem::path &node);

} // namespace kvmchan::detail

#endif
