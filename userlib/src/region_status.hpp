// SPDX-License-Identifier: MIT
// How the sessions of a slot stand, for those who only look on.
#ifndef KVMCHAN_REGION_STATUS_HPP
#define KVMCHAN_REGION_STATUS_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvmchan/kvmchan.h"
#include "region_snapshot.hpp"

namespace kvmchan::detail {

/** Fills in what changes at run time. The slot has passed validation. */
void add_status(std::span<const std::byte> memory, const region_snapshot &table, std::uint32_t index,
                kvmchan_slot_info &info) noexcept;

} // namespace kvmchan::detail

#endif
