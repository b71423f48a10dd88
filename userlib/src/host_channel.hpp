// SPDX-License-Identifier: MIT
// The host's end of a channel.
#ifndef KVMCHAN_HOST_CHANNEL_HPP
#define KVMCHAN_HOST_CHANNEL_HPP

#include <array>
#include <memory>

#include "host_link.hpp"
#include "ring_channel.hpp"
#include "ring_view.hpp"

namespace kvmchan::detail {

/** See channel_end. Reader and writer each sleep on a wait_set of their own. */
class host_channel final : public ring_channel {
public:
	host_channel(host_slot slot, const channel_options &options);

	ssize_t read(std::span<std::byte> to) noexcept override;
	ssize_t write(std::span<const std::byte> from) noexcept override;
	int recv(std::span<std::byte> to, std::size_t &length) noexcept override;
	int send(std::span<const std::byte> record) noexcept override;
	ssize_t send_many(std::span<const iovec> records) noexcept override;
	ssize_t recv_many(std::span<iovec> records) noexcept override;
	int wait(event_mask interest, std::chrono::nanoseconds timeout) noexcept override;

	int device_handle() const noexcept override;
	int set_nonblocking(bool on) noexcept override;

	int info(kvmchan_info &out) noexcept override;
	int shutdown(int how) noexcept override;
	int reconnect() noexcept override;
	int lowat(kvmchan_lowat &out) noexcept override;
	int set_lowat(const kvmchan_lowat &marks) noexcept override;
	int counters(channel_counters &out) noexcept override;

private:
	/* Who sleeps where. A set is made when it is first needed. */
	enum sleeper : unsigned { sleeping_reader, sleeping_writer, sleeping_both, sleepers };

	int wait_reserve(std::size_t least, std::span<std::byte> &window) noexcept override;
	int wait_peek(std::size_t least, std::span<const std::byte> &window) noexcept override;
	ring_link &link() noexcept override { return *link_; }
	int settle_to_sleep(direction which) noexcept override;
	int sleep(direction which, std::uint64_t want) noexcept override;
	void moved(direction which) noexcept override;
	void time_handle(ready_handle &handle) noexcept override;
	void watch(wait_set &set) override { link_->watch(set); }
	bool handle_needs_timer() const noexcept override { return true; }

	static sleeper sleeper_of(direction which) noexcept
	{
		return which == direction::rx ? sleeping_reader : sleeping_writer;
	}
	void sleep_in(sleeper who, std::chrono::nanoseconds limit) noexcept;
	int find_events(event_mask interest) noexcept;
	int arm_events(event_mask interest) noexcept;
	wait_set *set_of(sleeper who) noexcept;
	std::error_code show_ring(ring_view &view, unsigned side) noexcept;
	bool packet() const noexcept { return link_->slot().slot().mode == KVMCHAN_MODE_PACKET; }

	std::unique_ptr<host_link> link_;
	/* Unmapped before the region that they are of. */
	ring_view rx_view_;
	ring_view tx_view_;
	bool may_read_;
	bool may_write_;
	std::array<std::unique_ptr<wait_set>, sleepers> sets_;
	std::array<poll_pace, sleepers> paces_;
	poll_pace handle_pace_;
};

} // namespace kvmchan::detail

#endif
