// SPDX-License-Identifier: MIT
#include "ring_view.hpp"

#include <cerrno>
#include <utility>

#include <sys/mman.h>

namespace kvmchan::detail {

ring_view::ring_view(int fd, std::uint64_t offset, std::size_t size, bool writable, std::error_code &ec) noexcept
{
	const int access = PROT_READ | (writable ? PROT_WRITE : 0);
	/* The place first, so that both halves can be put side by side. */
	void *const place = ::mmap(nullptr, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ec.clear();
	if (place == MAP_FAILED) {
		ec.assign(errno, std::system_category());
		return;
	}
	data_ = static_cast<std::byte *>(place);
	size_ = 2 * size;
	for (std::byte *at : {data_, data_ + size})
		if (::mmap(at, size, access, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset)) == MAP_FAILED) {
			/* Huge pages cannot be mapped from amidst. */
			ec.assign(errno == EINVAL ? ENOTSUP : errno, std::system_category());
			reset();
			return;
		}
}

ring_view::ring_view(ring_view &&other) noexcept
	: data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)},
	  guard_{std::move(other.guard_)}
{
}

ring_view &ring_view::operator=(ring_view &&other) noexcept
{
	if (this != &other) {
		reset();
		data_ = std::exchange(other.data_, nullptr);
		size_ = std::exchange(other.size_, 0);
		guard_ = std::move(other.guard_);
	}
	return *this;
}

void ring_view::guard(std::atomic<int> &error, std::error_code &ec) noexcept
{
	try {
		guard_ = mapping_guard{bytes(), error};
		ec.clear();
	} catch (const std::system_error &refused) {
		ec = refused.code();
	}
}

void ring_view::reset() noexcept
{
	guard_.reset();
	if (data_)
		::munmap(data_, size_);
	data_ = nullptr;
	size_ = 0;
}

} // namespace kvmchan::detail
