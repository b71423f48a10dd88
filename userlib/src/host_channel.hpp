// SPDX-License-Identifier: MIT
// The host's end of a channel.
#ifndef KVMCHAN_HOST_CHANNEL_HPP
#define KVMCHAN_HOST_CHANNEL_HPP

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>

#include "busy_poll.hpp"
#include "channel_end.hpp"
#include "host_reader.hpp"
#include "host_writer.hpp"
#include "ready_handle.hpp"

namespace kvmchan::detail {

/** See channel_end. Reader and writer each sleep on a wait_set of their own. */
class host_channel final : public channel_end {
public:
	host_channel(host_slot slot, const channel_options &options);

	ssize_t read(std::span<std::byte> to) noexcept override;
	ssize_t write(std::span<const std::byte> from) noexcept override;
	int recv(std::span<std::byte> to, std::size_t &length) noexcept override;
	int send(std::span<const std::byte> record) noexcept override;
	int wait(event_mask interest, std::chrono::nanoseconds timeout) noexcept override;

	int native_handle() noexcept override;
	int device_handle() const noexcept override;
	bool nonblocking() const noexcept override { return nonblocking_.load(std::memory_order_relaxed); }
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

	template <typename Try, typename Spin, typename Arm>
	ssize_t run(direction which, Try attempt, Spin spin, Arm arm) noexcept;
	bool spin_for(std::uint64_t least) noexcept;
	template <typename Arm>
	ssize_t would_block(direction which, Arm arm) noexcept;
	void sleep(sleeper who, std::chrono::nanoseconds limit) noexcept;
	int find_events(event_mask interest) noexcept;
	int arm_events(event_mask interest) noexcept;
	wait_set *set_of(sleeper who) noexcept;
	bool packet() const noexcept { return link_->slot().slot().mode == KVMCHAN_MODE_PACKET; }

	host_reader reader_;
	host_writer writer_;
	std::unique_ptr<host_link> link_;
	bool may_read_;
	bool may_write_;
	std::atomic<bool> nonblocking_;
	std::array<std::unique_ptr<wait_set>, sleepers> sets_;
	std::array<poll_pace, sleepers> paces_;
	poll_pace handle_pace_;
	busy_poll reader_spin_;
	std::mutex handle_mutex_; /* making handle_ */
	std::atomic<ready_handle *> handle_{nullptr};
	std::unique_ptr<ready_handle> handle_owner_;
};

} // namespace kvmchan::detail

#endif
