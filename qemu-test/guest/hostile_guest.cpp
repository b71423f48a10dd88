// SPDX-License-Identifier: MIT
/*
 * A guest that means harm: its superuser has taken the device from the driver,
 * writes over all the memory that it shows, and rings a process of the host
 * without rest. Amounts: hostile_peer, hostile_vectors, hostile_seconds,
 * hostile_seed.
 */
#include "node.hpp"
#include "scribbles.hpp"

#include "kvmchan/device.hpp"

#include <atomic>
#include <thread>

namespace {

using namespace node;

std::vector<kvmchan_slot> table_of(std::span<const std::byte> region)
{
	const auto &first = *reinterpret_cast<const kvmchan_superblock *>(region.data());
	const auto *slots = reinterpret_cast<const kvmchan_slot *>(region.data() + first.table_offset);
	return {slots, slots + first.slot_count};
}

class rings_without_rest {
public:
	rings_without_rest(kvmchan::device &by, std::uint16_t peer, std::uint8_t vectors)
	    : thread_{[this, &by, peer, vectors](const std::stop_token &stop) {
		      for (unsigned vector = 0; !stop.stop_requested(); vector = (vector + 1) % vectors, ++rings_)
			      by.ring(peer, static_cast<std::uint8_t>(vector));
	      }}
	{
	}

	std::uint64_t rings() const { return rings_; }

private:
	std::atomic<std::uint64_t> rings_ = 0;
	std::jthread thread_;
};

TEST(hostile_guest, spoils_all_that_it_can_reach)
{
	const auto all = kvmchan::devices();
	ASSERT_EQ(all.size(), 1U);
	kvmchan::device device{all.front().address};
	harness::scribbles words{device.bytes(), table_of(device.bytes()), amount("hostile_seed", 1)};
	const rings_without_rest flood{device, static_cast<std::uint16_t>(amount("hostile_peer", 0)),
	                               static_cast<std::uint8_t>(amount("hostile_vectors", 1))};
	const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{amount("hostile_seconds", 1)};
	while (std::chrono::steady_clock::now() < end) {
		for (int i = 0; i < 32; ++i)
			words.below(20000) ? words.into_a_slot() : words.into_the_table();
		std::this_thread::sleep_for(100us);
	}
	std::printf("%llu stores into the region, %llu doorbells\n", static_cast<unsigned long long>(words.stores()),
	            static_cast<unsigned long long>(flood.rings()));
	EXPECT_GT(flood.rings(), 1000U);
}

} // namespace
