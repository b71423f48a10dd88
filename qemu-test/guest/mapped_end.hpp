// SPDX-License-Identifier: MIT
// A side whose rings are mapped, by ring.h and the bare ioctls.
#pragma once

#include "node.hpp"
#include "ring.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sys/mman.h>

namespace node {

inline kvmchan_rings asking(std::uint64_t rx, std::uint64_t tx, std::int64_t timeout = 0)
{
	kvmchan_rings r{};
	r.rx_want = rx;
	r.tx_want = tx;
	r.timeout_ns = timeout;
	return r;
}

/** A range of a node, mapped. */
class view {
public:
	view(const unique_fd &fd, std::uint64_t offset, std::size_t length, int protection)
	    : length_{length},
	      at_{::mmap(nullptr, length, protection, MAP_SHARED, fd.get(), static_cast<off_t>(offset))}
	{
		if (at_ == MAP_FAILED)
			fail("mmap of rings");
	}
	view(const view &) = delete;
	view &operator=(const view &) = delete;
	~view() { ::munmap(at_, length_); }

	std::byte *data() const { return static_cast<std::byte *>(at_); }
	template <typename T>
	T *as() const { return static_cast<T *>(at_); }
	std::span<std::byte> bytes() const { return {data(), length_}; }

private:
	std::size_t length_;
	void *at_;
};

/** One thread may read while one writes. */
class mapped_end {
public:
	explicit mapped_end(unique_fd fd) : fd_{std::move(fd)}
	{
		if (::ioctl(fd_.get(), KVMCHAN_IOC_MAP_RINGS, KVMCHAN_RING_RX | KVMCHAN_RING_TX) != 0)
			fail("KVMCHAN_IOC_MAP_RINGS");
		const auto what = info(fd_);
		rx_.size = what.rx_size;
		tx_.size = what.tx_size;
		own_ = std::make_unique<view>(fd_, KVMCHAN_MMAP_OWN_INDEX, 4096, PROT_READ | PROT_WRITE);
		peer_ = std::make_unique<view>(fd_, KVMCHAN_MMAP_PEER_INDEX, 4096, PROT_READ);
		rx_ring_ = std::make_unique<view>(fd_, KVMCHAN_MMAP_RX, 2 * rx_.size, PROT_READ);
		tx_ring_ = std::make_unique<view>(fd_, KVMCHAN_MMAP_TX, 2 * tx_.size, PROT_READ | PROT_WRITE);
		rx_.own = tx_.own = own_->as<kvmchan_index_page>();
		rx_.peer = tx_.peer = peer_->as<kvmchan_index_page>();
		begin();
	}
	mapped_end(std::string_view name, unsigned side) : mapped_end{open_side(name, side)} {}

	const unique_fd &fd() const { return fd_; }
	kvmchan_index_page &own() const { return *own_->as<kvmchan_index_page>(); }
	std::span<std::byte> tx_view() const { return tx_ring_->bytes(); }
	void close_only() { fd_.reset(); }

	/** A new session: the driver says where it begins. */
	void begin()
	{
		const auto r = call(asking(0, 0));
		rx_.live = false;
		rx_.error = 0;
		tx_.prod = r.tx_prod;
		tx_.cons = r.tx_cons;
		tx_.live = false;
		tx_.error = 0;
		sync_rx(r);
		tx_.live = r.flags & KVMCHAN_RINGS_TX_LIVE;
	}

	/** Sleeps in the driver. */
	kvmchan_rings wait(std::uint64_t rx, std::uint64_t tx, std::int64_t timeout = -1)
	{
		const auto r = call(asking(rx, tx, timeout));
		if (rx)
			sync_rx(r);
		if (tx)
			tx_.live = r.flags & KVMCHAN_RINGS_TX_LIVE;
		return r;
	}
	void ask(std::uint64_t rx, std::uint64_t tx) { wait(rx, tx, 0); }

	/** Bytes that can be read, as the ring says. */
	std::uint64_t ready()
	{
		refresh(kvmchan_rx_refresh(&rx_));
		return kvmchan_rx_used(&rx_);
	}

	/** What is there, at most @p most bytes; waits for the first; "": the end. */
	std::string read_some(std::size_t most)
	{
		while (!ready()) {
			const auto r = wait(1, 0);
			if ((r.flags & KVMCHAN_RINGS_RX_END) && !ready())
				return {};
		}
		const auto n = std::min<std::size_t>(most, kvmchan_rx_used(&rx_));
		std::string text(n, '\0');
		std::memcpy(text.data(), rx_ring_->data() + (rx_.cons & (rx_.size - 1)), n);
		if (kvmchan_rx_commit(&rx_, n))
			kick(KVMCHAN_RING_RX);
		return text;
	}
	std::string read(std::size_t count)
	{
		std::string all;
		while (all.size() < count) {
			const auto some = read_some(count - all.size());
			if (some.empty())
				break;
			all += some;
		}
		return all;
	}

	/** All of it; waits for room. */
	void write(std::string_view text)
	{
		while (!text.empty()) {
			refresh(kvmchan_tx_refresh(&tx_));
			if (!kvmchan_tx_free(&tx_)) {
				wait(0, tx_.size / 2);
				continue;
			}
			const auto n = std::min<std::size_t>(text.size(), kvmchan_tx_free(&tx_));
			std::memcpy(tx_ring_->data() + (tx_.prod & (tx_.size - 1)), text.data(), n);
			if (kvmchan_tx_commit(&tx_, n))
				kick(KVMCHAN_RING_TX);
			text.remove_prefix(n);
		}
	}

private:
	kvmchan_rings call(kvmchan_rings r)
	{
		int result;
		do
			result = ::ioctl(fd_.get(), KVMCHAN_IOC_RINGS, &r);
		while (result != 0 && errno == EINTR);
		if (result != 0)
			fail("KVMCHAN_IOC_RINGS");
		return r;
	}
	void kick(unsigned rings)
	{
		if (::ioctl(fd_.get(), KVMCHAN_IOC_KICK, rings) != 0)
			fail("KVMCHAN_IOC_KICK");
	}
	void sync_rx(const kvmchan_rings &r)
	{
		const bool live = r.flags & KVMCHAN_RINGS_RX_LIVE;
		if (live && !rx_.live)
			rx_.cons = rx_.prod = r.rx_cons;
		rx_.live = live;
	}
	static void refresh(int error)
	{
		if (error)
			fail("the peer's index", -error);
	}

	unique_fd fd_;
	kvmchan_rx rx_{};
	kvmchan_tx tx_{};
	std::unique_ptr<view> own_, peer_, rx_ring_, tx_ring_;
};

} // namespace node
