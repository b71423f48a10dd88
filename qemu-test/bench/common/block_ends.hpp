// SPDX-License-Identifier: MIT
/*
 * The limits of mapped memory: who waits spins, nobody is ever rung, nothing is
 * checked. Each end has a block of shared memory mapped; side 0 is the host's.
 */
#pragma once

#include "end.hpp"

#include <kvmchan/memory.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <immintrin.h>

namespace bench {

/** Spins until @p ready; gives up the CPU to nobody. */
template <typename Ready>
void spin_until(Ready ready)
{
	while (!ready())
		_mm_pause();
}

/** A byte ring for one producer and one consumer, in each direction. */
class ring_end final : public end {
public:
	static constexpr std::size_t ring = 1 << 20;
	struct alignas(128) index {
		std::uint64_t value;
	};
	struct indices {
		index produced;
		index consumed;
		index asked;
	};
	static constexpr std::size_t head = 4096;
	/** What the block must hold. */
	static constexpr std::size_t block_size = 2 * head + 2 * ring;

	/**
	 * @p asks: each step is followed by the question whether the other end sleeps
	 * and wants to be rung (it never does): what it costs that one could.
	 */
	ring_end(kvmchan::memory_block block, unsigned side, bool asks = false)
	    : block_{std::move(block)}, asks_{asks}, out_{lane(side)}, in_{lane(1 - side)}
	{
		for (const way *each : {&out_, &in_})
			store(each->at->asked, UINT64_MAX);
		out_.mine = out_.other = load(out_.at->produced);
		in_.mine = in_.other = load(in_.at->consumed);
	}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		while (!from.empty()) {
			if (out_.mine - out_.other == ring)
				spin_until([&] { return out_.mine - (out_.other = load(out_.at->consumed)) < ring; });
			const auto at = out_.mine % ring;
			const auto n = std::min({from.size(), ring - at, ring - (out_.mine - out_.other)});
			std::memcpy(out_.data + at, from.data(), n);
			step(out_, out_.at->produced, n);
			from = from.subspan(n);
		}
	}

	std::size_t read(std::span<std::byte> to) override
	{
		if (in_.other == in_.mine)
			spin_until([&] { return (in_.other = load(in_.at->produced)) != in_.mine; });
		const auto at = in_.mine % ring;
		const auto n = std::min({to.size(), ring - at, in_.other - in_.mine});
		std::memcpy(to.data(), in_.data + at, n);
		step(in_, in_.at->consumed, n);
		return n;
	}

private:
	struct way {
		indices *at;
		std::byte *data;
		std::uint64_t mine = 0;
		std::uint64_t other = 0;
	};

	way lane(unsigned writer) const
	{
		auto *base = block_.bytes().data() + writer * (head + ring);
		return {.at = reinterpret_cast<indices *>(base), .data = base + head};
	}

	void step(way &of, index &to, std::size_t bytes) const
	{
		const auto from = std::exchange(of.mine, of.mine + bytes);
		store(to, of.mine);
		if (!asks_)
			return;
		std::atomic_thread_fence(std::memory_order_seq_cst);
		if (of.mine - load(of.at->asked) - 1 < of.mine - from)
			throw std::logic_error{"somebody sleeps"};
	}
	static std::uint64_t load(index &word)
	{
		return std::atomic_ref{word.value}.load(std::memory_order_acquire);
	}
	static void store(index &word, std::uint64_t value)
	{
		std::atomic_ref{word.value}.store(value, std::memory_order_release);
	}

	kvmchan::memory_block block_;
	bool asks_;
	way out_;
	way in_;
};

/** memcpy() into and out of the block, with nobody at the other end. */
class memcpy_end final : public end {
public:
	explicit memcpy_end(kvmchan::memory_block block) : block_{std::move(block)} {}

	void write(std::span<const std::byte> from, std::size_t /*message*/) override
	{
		std::memcpy(next(from.size()), from.data(), from.size());
	}
	std::size_t read(std::span<std::byte> to) override
	{
		std::memcpy(to.data(), next(to.size()), to.size());
		return to.size();
	}

private:
	std::byte *next(std::size_t bytes)
	{
		if (at_ + bytes > block_.bytes().size())
			at_ = 0;
		return block_.bytes().data() + std::exchange(at_, at_ + bytes);
	}

	kvmchan::memory_block block_;
	std::size_t at_ = 0;
};

/** One word for each side, in a cache line of its own: it carries no bytes, only turns. */
class handoff_end final : public end {
public:
	handoff_end(kvmchan::memory_block block, unsigned side) : block_{std::move(block)}, side_{side}
	{
		// At rest both have had as many turns; the other one may have begun.
		seen_ = sent_ = turn(side_).load();
	}

	void write(std::span<const std::byte> /*from*/, std::size_t /*message*/) override
	{
		turn(side_).store(++sent_, std::memory_order_release);
	}
	std::size_t read(std::span<std::byte> to) override
	{
		spin_until([&] { return turn(1 - side_).load(std::memory_order_acquire) != seen_; });
		++seen_;
		return to.size();
	}

private:
	std::atomic_ref<std::uint64_t> turn(unsigned side) const
	{
		return std::atomic_ref{*reinterpret_cast<std::uint64_t *>(block_.bytes().data() + side * 256)};
	}

	kvmchan::memory_block block_;
	unsigned side_;
	std::uint64_t sent_ = 0;
	std::uint64_t seen_ = 0;
};

} // namespace bench
