// SPDX-License-Identifier: MIT
// What happens when memory that is mapped here is taken away.
#ifndef KVMCHAN_MAPPING_GUARD_HPP
#define KVMCHAN_MAPPING_GUARD_HPP

#include <atomic>
#include <cstddef>
#include <span>

namespace kvmchan::detail {

/**
 * Memory that is not sealed can be truncated by whoever may open it, and a
 * guest's device can be unplugged: every access to what is gone is a SIGBUS
 * then, which kills the process. For a guarded mapping the process-wide handler
 * that is installed with the first guard puts private zero pages over the whole
 * mapping and says ENODEV: the access that failed goes on, and the library
 * finds the error before it trusts what it read. A SIGBUS anywhere else goes to
 * the handler that was installed before.
 *
 * Ends before the mapping and @p error do. Move-only.
 */
class mapping_guard {
public:
	mapping_guard() noexcept = default;
	/** @p error becomes ENODEV. Throws std::system_error (ENOSPC: too many are guarded). */
	mapping_guard(std::span<std::byte> mapping, std::atomic<int> &error);
	mapping_guard(mapping_guard &&other) noexcept;
	mapping_guard &operator=(mapping_guard &&other) noexcept;
	~mapping_guard() { reset(); }

	explicit operator bool() const noexcept { return entry_; }
	void reset() noexcept;

private:
	struct entry;
	struct handler;

	entry *entry_ = nullptr;
};

} // namespace kvmchan::detail

#endif
