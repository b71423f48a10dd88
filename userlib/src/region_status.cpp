// SPDX-License-Identifier: MIT
#include "region_status.hpp"

namespace kvmchan::detail {

void add_status(std::span<const std::byte> memory, const region_snapshot &table, std::uint32_t index,
                kvmchan_slot_info &info) noexcept
{
	const kvmchan_slot &slot = table.slots()[index];
	const auto *const control = reinterpret_cast<const kvmchan_control *>(memory.data() + slot.control);
	const auto *const shared = reinterpret_cast<const kvmchan_slot *>(
		memory.data() + table.superblock().table_offset + index * sizeof(kvmchan_slot));
	std::uint64_t link[2];

	for (unsigned side = 0; side < 2; ++side) {
		const auto &pages = control->side[side];

		link[side] = kvmchan_load_acquire(&pages.session.link);
		info.epoch[side] = kvmchan_link_epoch(link[side]);
		info.open[side] = (link[side] & KVMCHAN_LINK_OPEN) &&
		                  !kvmchan_epoch_reaped(kvmchan_load(&shared->reaped[side]), info.epoch[side]);
		info.written[side] = kvmchan_load(&pages.index.tx_prod);
		info.consumed[side] = kvmchan_load(&pages.index.rx_cons);
	}
	const auto paired_with = [&](unsigned side, unsigned other) {
		return (link[side] & KVMCHAN_LINK_PAIRED) && kvmchan_link_acked(link[side]) == info.epoch[other];
	};

	info.connected = info.open[0] && info.open[1] && paired_with(0, 1) && paired_with(1, 0);
}

} // namespace kvmchan::detail
