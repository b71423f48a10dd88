// SPDX-License-Identifier: MIT
// C++: what a guest has of ivshmem devices and channels.
#ifndef KVMCHAN_DEVICE_HPP
#define KVMCHAN_DEVICE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvmchan/error.hpp"
#include "kvmchan/kvmchan.h"

namespace kvmchan::inline v1 {

namespace internal {

/* Devices can come between the two calls, so as often as it takes. */
template <typename Info, typename List>
std::vector<Info> list_all(List list)
{
	std::vector<Info> all;

	for (;;) {
		if (!all.empty())
			all.front().struct_size = sizeof(Info);
		const ssize_t n = list(all.data(), all.size());

		if (n < 0)
			throw_opening(n);
		const bool complete = static_cast<std::size_t>(n) <= all.size();

		all.resize(static_cast<std::size_t>(n));
		if (complete)
			return all;
	}
}

} // namespace internal

/** All ivshmem devices of this guest, whoever drives them. */
inline std::vector<kvmchan_device_info> devices()
{
	return internal::list_all<kvmchan_device_info>(kvmchan_devices);
}

/** All channels and memory blocks that the module offers. */
inline std::vector<kvmchan_node_info> nodes()
{
	return internal::list_all<kvmchan_node_info>(kvmchan_nodes);
}

/**
 * An ivshmem device that no driver has, mapped through sysfs, for the superuser.
 * Move-only. Throws std::system_error.
 */
class device {
public:
	explicit device(const std::string &address)
	{
		kvmchan_device *out = nullptr;

		if (const int error = kvmchan_device_open(address.c_str(), &out))
			internal::throw_opening(error);
		handle_.reset(out);
	}

	std::span<std::byte> bytes() const noexcept
	{
		return {static_cast<std::byte *>(kvmchan_device_address(handle_.get())), kvmchan_device_size(handle_.get())};
	}
	int id() const noexcept { return kvmchan_device_id(handle_.get()); }
	/** Throws not_supported for ivshmem-plain. */
	void ring(std::uint16_t peer, std::uint8_t vector)
	{
		internal::checked(kvmchan_device_ring(handle_.get(), peer, vector), "doorbell");
	}

private:
	struct closer {
		void operator()(kvmchan_device *handle) const noexcept { kvmchan_device_close(handle); }
	};

	std::unique_ptr<kvmchan_device, closer> handle_;
};

} // namespace kvmchan::inline v1

#endif
