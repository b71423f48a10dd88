// SPDX-License-Identifier: MIT
// A guest's end of a channel: the device node, or rings mapped through it.
#ifndef KVMCHAN_GUEST_CHANNEL_HPP
#define KVMCHAN_GUEST_CHANNEL_HPP

#include <atomic>
#include <mutex>

#include "guest_link.hpp"
#include "ring_channel.hpp"
#include "unique_fd.hpp"

namespace kvmchan::detail {

/**
 * See channel_end. A direction is a thin layer over the node until the first
 * call that works on its ring; from then on all of its calls do, and the driver
 * keeps the session, rings and lets sleep.
 */
class guest_channel final : public ring_channel {
public:
	guest_channel(unique_fd node, const std::string &path, const channel_options &options);

	ssize_t read(std::span<std::byte> to) noexcept override;
	ssize_t write(std::span<const std::byte> from) noexcept override;
	int recv(std::span<std::byte> to, std::size_t &length) noexcept override;
	int send(std::span<const std::byte> record) noexcept override;
	ssize_t send_many(std::span<const iovec> records) noexcept override;
	ssize_t recv_many(std::span<iovec> records) noexcept override;
	int wait(event_mask interest, std::chrono::nanoseconds timeout) noexcept override;

	int device_handle() const noexcept override { return node_.get(); }
	int set_nonblocking(bool on) noexcept override;

	int info(kvmchan_info &out) noexcept override;
	int shutdown(int how) noexcept override;
	int reconnect() noexcept override;
	int lowat(kvmchan_lowat &out) noexcept override;
	int set_lowat(const kvmchan_lowat &marks) noexcept override;
	int counters(channel_counters &out) noexcept override;

private:
	int wait_reserve(std::size_t least, std::span<std::byte> &window) noexcept override;
	int wait_peek(std::size_t least, std::span<const std::byte> &window) noexcept override;
	ring_link &link() noexcept override { return link_; }
	int settle_to_sleep(direction) noexcept override { return 0; }
	int sleep(direction which, std::uint64_t want) noexcept override { return link_.sleep(which, want); }
	void moved(direction) noexcept override {}
	void time_handle(ready_handle &) noexcept override {}
	void watch(wait_set &set) override { set.add_device(node_.get()); }
	bool handle_needs_timer() const noexcept override { return false; }

	template <typename Call>
	ssize_t run_node(direction which, Call call) noexcept;
	ssize_t read_node(std::span<std::byte> to) noexcept;
	int recv_node(std::span<std::byte> to, std::size_t &length) noexcept;
	ssize_t write_node(std::span<const std::byte> from) noexcept;
	int map_rx() noexcept;
	int map_tx() noexcept;
	bool taken(direction which) const noexcept { return taken_[static_cast<unsigned>(which)].load(std::memory_order_relaxed); }
	int take(direction which, std::uint64_t size) noexcept;
	int ask_for(event_mask interest) noexcept;
	bool packet() const noexcept { return mode_ == 1; }

	unique_fd node_;
	guest_link link_;
	std::uint32_t mode_ = 0;
	std::uint64_t rx_size_ = 0;
	std::uint64_t tx_size_ = 0;
	std::mutex take_mutex_; /* the index pages, which both directions need */
	/* The driver does not move these rings any more. */
	std::array<std::atomic<bool>, 2> taken_{};
};

} // namespace kvmchan::detail

#endif
