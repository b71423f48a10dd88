// SPDX-License-Identifier: MIT
#include "table_layout.hpp"

#include <algorithm>

namespace kvmchan {
namespace {

bool starts_before(const extent &a, const extent &b) noexcept
{
	return a.start < b.start;
}

void insert_sorted(std::vector<extent> &list, const extent &range)
{
	list.insert(std::upper_bound(list.begin(), list.end(), range, starts_before), range);
}

/* Joins what touches, so that the list does not grow with the region's age. */
void insert_joined(std::vector<extent> &list, extent range)
{
	std::erase_if(list, [&](const extent &other) {
		if (other.start > range.end || range.start > other.end)
			return false;
		range = {std::min(range.start, other.start), std::max(range.end, other.end)};
		return true;
	});
	insert_sorted(list, range);
}

} // namespace

table_layout::table_layout(std::uint64_t size, bool unused)
	: size_{size}
{
	if (!unused)
		used_.push_back({0, size});
}

void table_layout::take(const extent &range)
{
	insert_sorted(taken_, range);
}

void table_layout::give_back(const extent &range)
{
	const auto found = std::find_if(taken_.begin(), taken_.end(), [&](const extent &other) {
		return other.start == range.start && other.end == range.end;
	});

	if (found != taken_.end())
		taken_.erase(found);
	insert_joined(used_, range);
}

std::vector<extent> table_layout::gaps(bool unused_only) const
{
	std::vector<extent> busy = taken_;
	std::vector<extent> free;
	std::uint64_t reach = 0;

	if (unused_only)
		busy.insert(busy.end(), used_.begin(), used_.end());
	busy.push_back({size_, size_});
	std::sort(busy.begin(), busy.end(), starts_before);
	for (const extent &range : busy) {
		if (range.start > reach)
			free.push_back({reach, range.start});
		reach = std::max(reach, range.end);
	}
	return free;
}

std::optional<extent> table_layout::place(std::uint64_t size)
{
	for (const bool unused_only : {true, false}) {
		for (const extent &gap : gaps(unused_only)) {
			if (gap.end - gap.start < size)
				continue;

			const extent range{gap.start, gap.start + size};

			take(range);
			return range;
		}
	}
	return std::nullopt;
}

bool table_layout::used_before(const extent &range) const noexcept
{
	return std::any_of(used_.begin(), used_.end(), [&](const extent &other) { return other.overlaps(range); });
}

std::uint64_t table_layout::free_bytes() const
{
	std::uint64_t sum = 0;

	for (const extent &gap : gaps(false))
		sum += gap.end - gap.start;
	return sum;
}

std::uint64_t table_layout::largest_free() const
{
	std::uint64_t largest = 0;

	for (const extent &gap : gaps(false))
		largest = std::max(largest, gap.end - gap.start);
	return largest;
}

} // namespace kvmchan
