// SPDX-License-Identifier: MIT
// ivshmem IDs for clients that come and go.
#ifndef KVMCHAN_SERVER_ID_POOL_HPP
#define KVMCHAN_SERVER_ID_POOL_HPP

#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace kvmchan {

/**
 * Hands out IDs from 0 to 65535, in order, and does not come back to one before
 * it has been round.
 *
 * A QEMU that saw a peer leave keeps what belonged to it, and corrupts its heap
 * when the same ID joins again. So an ID that was given back rests until every
 * client that was there when its peer left has gone, too. Time is counted in
 * ticks: each join and each departure is one.
 */
class id_pool {
public:
	/** Never handed out: it is somebody's for good. */
	void reserve(std::uint16_t id) { used_.set(id); }

	/**
	 * The next ID; none when all are used or resting. @p oldest: the tick at
	 * which the client that has been there longest joined, if there is one.
	 */
	std::optional<std::uint16_t> take(std::optional<std::uint64_t> oldest);

	/** Its peer left at @p tick. */
	void give_back(std::uint16_t id, std::uint64_t tick);

	/** What the next server has to know beside the IDs that are in use. */
	std::uint16_t next() const noexcept { return next_; }
	const std::map<std::uint16_t, std::uint64_t> &resting() const noexcept { return resting_; }
	void restore(std::uint16_t next, std::map<std::uint16_t, std::uint64_t> resting)
	{
		next_ = next;
		resting_ = std::move(resting);
	}

private:
	static constexpr std::size_t ids = 65536;

	std::bitset<ids> used_;
	std::map<std::uint16_t, std::uint64_t> resting_;
	std::uint16_t next_ = 0;
};

} // namespace kvmchan

#endif
