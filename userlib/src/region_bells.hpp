// SPDX-License-Identifier: MIT
// The doorbells of a region whose ivshmem server we are a client of.
#ifndef KVMCHAN_REGION_BELLS_HPP
#define KVMCHAN_REGION_BELLS_HPP

#include <atomic>
#include <cstdint>
#include <shared_mutex>
#include <thread>
#include <utility>
#include <vector>

#include "ivshmem_client.hpp"

namespace kvmchan::detail {

/**
 * Keeps the connection to an ivshmem server drained by a thread of its own:
 * a client that does not read is dropped sooner or later, and the doorbells of
 * peers that come later arrive there. The thread takes no signals.
 *
 * All functions may be called from any thread, and none waits.
 */
class region_bells final : private ivshmem_observer {
public:
	/** @p client has completed its handshake. */
	explicit region_bells(ivshmem_client client);
	~region_bells() override;
	region_bells(const region_bells &) = delete;
	region_bells &operator=(const region_bells &) = delete;

	std::uint16_t id() const noexcept { return id_; }
	std::size_t vectors() const noexcept { return vectors_; }
	/** Our own eventfd, valid as long as this object. */
	int vector_fd(std::size_t vector) const noexcept;

	/**
	 * Rings a peer. One that we have not been told of yet is rung as soon as
	 * its doorbell arrives.
	 */
	void ring(std::uint16_t peer, std::uint16_t vector) noexcept;

	/** Rings a peer if it is known. Returns whether it is. */
	bool ring_now(std::uint16_t peer, std::uint16_t vector) noexcept;

	std::vector<std::uint16_t> peers() const;
	/** False once the server hung up. What was received goes on working. */
	bool server_alive() const noexcept { return alive_.load(std::memory_order_relaxed); }

private:
	void vector_added(std::uint16_t id, std::size_t vectors) override;
	void peer_left(std::uint16_t id) override;
	void run() noexcept;
	bool pump() noexcept;

	mutable std::shared_mutex mutex_; /* client_ and owed_ */
	ivshmem_client client_;
	std::vector<std::pair<std::uint16_t, std::uint16_t>> owed_;
	std::uint16_t id_;
	std::size_t vectors_;
	std::atomic<bool> alive_{true};
	unique_fd stop_;
	std::thread thread_;
};

} // namespace kvmchan::detail

#endif
