// SPDX-License-Identifier: MIT
// Where things lie in a region: first fit over what is taken.
#ifndef KVMCHAN_TABLE_LAYOUT_HPP
#define KVMCHAN_TABLE_LAYOUT_HPP

#include <cstdint>
#include <optional>
#include <vector>

namespace kvmchan {

/** Bytes [start, end) of a region. */
struct extent {
	std::uint64_t start = 0;
	std::uint64_t end = 0;

	bool overlaps(const extent &other) const noexcept { return start < other.end && other.start < end; }
};

/**
 * The taken parts of a region. All extents are of whole pages.
 *
 * Space that was given back goes to the end of the queue: it is used again only
 * when nothing unused is left, because a peer that has not heard yet that its
 * channel is gone may still be writing there.
 */
class table_layout {
public:
	table_layout() noexcept = default;
	/** Empty, of @p size bytes. @p unused: nothing was ever written there. */
	table_layout(std::uint64_t size, bool unused);

	/** Marks as taken. */
	void take(const extent &range);
	/** Marks as free, and as used before. */
	void give_back(const extent &range);
	/** Takes the first range of @p size bytes that fits. */
	std::optional<extent> place(std::uint64_t size);

	/** Whether some of @p range may hold something of a former life. */
	bool used_before(const extent &range) const noexcept;

	/** Free bytes in all, and in one piece. */
	std::uint64_t free_bytes() const;
	std::uint64_t largest_free() const;

private:
	std::vector<extent> gaps(bool unused_only) const;

	std::uint64_t size_ = 0;
	std::vector<extent> taken_;
	std::vector<extent> used_;
};

} // namespace kvmchan

#endif
