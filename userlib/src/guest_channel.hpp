// SPDX-License-Identifier: MIT
// A guest's end of a channel: a thin layer over the device node.
#ifndef KVMCHAN_GUEST_CHANNEL_HPP
#define KVMCHAN_GUEST_CHANNEL_HPP

#include <atomic>
#include <memory>
#include <mutex>

#include "channel_end.hpp"
#include "ready_handle.hpp"
#include "unique_fd.hpp"

namespace kvmchan::detail {

/** See channel_end. All state is the driver's. */
class guest_channel final : public channel_end {
public:
	guest_channel(unique_fd node, const std::string &path, const channel_options &options);

	ssize_t read(std::span<std::byte> to) noexcept override;
	ssize_t write(std::span<const std::byte> from) noexcept override;
	int recv(std::span<std::byte> to, std::size_t &length) noexcept override;
	int send(std::span<const std::byte> record) noexcept override;
	ssize_t send_many(std::span<const iovec>) noexcept override { return -ENOTSUP; }
	ssize_t recv_many(std::span<iovec>) noexcept override { return -ENOTSUP; }
	int wait_reserve(std::size_t, std::span<std::byte> &) noexcept override { return -ENOTSUP; }
	int wait_peek(std::size_t, std::span<const std::byte> &) noexcept override { return -ENOTSUP; }
	int wait(event_mask interest, std::chrono::nanoseconds timeout) noexcept override;

	int native_handle() noexcept override;
	int device_handle() const noexcept override { return node_.get(); }
	bool nonblocking() const noexcept override { return nonblocking_.load(std::memory_order_relaxed); }
	int set_nonblocking(bool on) noexcept override;

	int info(kvmchan_info &out) noexcept override;
	int shutdown(int how) noexcept override;
	int reconnect() noexcept override;
	int lowat(kvmchan_lowat &out) noexcept override;
	int set_lowat(const kvmchan_lowat &marks) noexcept override;
	int counters(channel_counters &out) noexcept override;

private:
	template <typename Call>
	ssize_t run(direction which, Call call) noexcept;
	bool packet() const noexcept { return mode_ == 1; }

	unique_fd node_;
	std::uint32_t mode_ = 0;
	std::atomic<bool> nonblocking_;
	std::mutex handle_mutex_; /* making handle_ */
	std::atomic<ready_handle *> handle_{nullptr};
	std::unique_ptr<ready_handle> handle_owner_;
};

} // namespace kvmchan::detail

#endif
