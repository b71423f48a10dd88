// SPDX-License-Identifier: MIT
// What the commands print about regions and channels, as text and as JSON.
#ifndef KVMCHAN_TOOLS_DESCRIBE_HPP
#define KVMCHAN_TOOLS_DESCRIBE_HPP

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "kvmchan/channel.hpp"
#include "kvmchan/device.hpp"
#include "kvmchan/region.hpp"

namespace kvmchan::tools {

using json = nlohmann::ordered_json;

std::string side_name(std::uint32_t side);
std::string state_name(std::uint32_t state);
std::string incarnation_text(const std::uint8_t (&incarnation)[16]);

/** "waiting", "connected", "closed" of a slot as an onlooker sees it. */
std::string slot_state(const kvmchan_slot_info &slot);

json to_json(const kvmchan_counters &counters);
json to_json(const kvmchan_slot_info &slot);
json to_json(const kvmchan_region_info &region);
json to_json(const kvmchan_info &end);
json to_json(const kvmchan_device_info &device);
json to_json(const kvmchan_node_info &node);

/** With a line feed, on standard output. */
void print(const json &value);

} // namespace kvmchan::tools

#endif
