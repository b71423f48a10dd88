// SPDX-License-Identifier: MIT
#include "prefault.hpp"

#include <algorithm>

#include <sys/mman.h>
#include <unistd.h>

namespace kvmchan::detail {

/* @p length bytes from there, which may wrap. */
bool prefault::map(std::uint64_t index, std::uint64_t length) const noexcept
{
	static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
	const int advice = how_ == access::write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
	bool good = true;

	while (good && length) {
		const std::uint64_t offset = index & (ring_.size() - 1);
		const std::uint64_t n = std::min(length, ring_.size() - offset);
		const std::byte *const from = ring_.data() + offset;
		const std::size_t into = reinterpret_cast<std::uintptr_t>(from) % page;

		good = ::madvise(const_cast<std::byte *>(from - into), into + n, advice) == 0;
		index += n;
		length -= n;
	}
	return good;
}

void prefault::more(std::uint64_t index, std::uint64_t length) noexcept
{
	if (!begun_) {
		begun_ = true;
		start_ = index - length;
		mapped_ = 0;
		due_ = first;
		if (length < first)
			return;
	}
	const std::uint64_t distance = index - start_;
	const std::uint64_t goal = std::min(distance + 2 * piece, std::uint64_t{ring_.size()});
	const std::uint64_t from = std::max(distance, mapped_);

	if (distance >= ring_.size() || !map(start_ + from, goal - from)) {
		due_ = never;
		return;
	}
	mapped_ = goal;
	due_ = mapped_ == ring_.size() ? never : mapped_ - piece;
}

} // namespace kvmchan::detail
