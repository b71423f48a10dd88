// SPDX-License-Identifier: MIT
// The limits: paths in memory that both ends watch without ever sleeping.
#ifndef KVMCHAN_BENCH_SPINNING_ENDS_HPP
#define KVMCHAN_BENCH_SPINNING_ENDS_HPP

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include <boost/lockfree/spsc_queue.hpp>

#include "memory.hpp"

namespace kvmchan::bench {

inline void relax() noexcept
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	asm volatile("yield");
#endif
}

/** What one thread writes is on a line of its own, and on none that comes with it. */
template <typename Value>
struct alignas(128) own_line {
	Value value{};
};

/**
 * One direction of a ring of bytes and nothing more: no checks, no wake-ups, a
 * copy of the other index that is looked at only when it is used up.
 */
class raw_ring {
public:
	static constexpr std::uint64_t size = std::uint64_t{2} << 20;

	explicit raw_ring(std::byte *data) noexcept : data_{data} {}

	void write(std::span<const std::byte> from) noexcept
	{
		while (!from.empty()) {
			while (writer_.own - writer_.other == size) {
				writer_.other = cons_.value.load(std::memory_order_acquire);
				if (writer_.own - writer_.other == size)
					relax();
			}
			const std::uint64_t at = writer_.own % size;
			const std::uint64_t n =
				std::min({from.size(), size - (writer_.own - writer_.other), size - at, chunk});

			std::memcpy(data_ + at, from.data(), n);
			writer_.own += n;
			prod_.value.store(writer_.own, std::memory_order_release);
			from = from.subspan(n);
		}
	}

	void read(std::span<std::byte> to) noexcept
	{
		while (!to.empty()) {
			while (reader_.own == reader_.other) {
				reader_.other = prod_.value.load(std::memory_order_acquire);
				if (reader_.own == reader_.other)
					relax();
			}
			const std::uint64_t at = reader_.own % size;
			const std::uint64_t n = std::min({to.size(), reader_.other - reader_.own, size - at, chunk});

			std::memcpy(to.data(), data_ + at, n);
			reader_.own += n;
			cons_.value.store(reader_.own, std::memory_order_release);
			to = to.subspan(n);
		}
	}

private:
	/* Both ends work on one message at the same time. */
	static constexpr std::uint64_t chunk = 64 * 1024;

	struct alignas(128) view {
		std::uint64_t own = 0, other = 0;
	};

	own_line<std::atomic<std::uint64_t>> prod_, cons_;
	view writer_, reader_;
	std::byte *const data_;
};

/** Ends of two rings in shared memory. */
class raw_ring_pair {
public:
	class end {
	public:
		end(raw_ring &in, raw_ring &out) noexcept : in_{in}, out_{out} {}

		void send(std::span<const std::byte> message) noexcept { out_.write(message); }
		void recv(std::span<std::byte> message) noexcept { in_.read(message); }

	private:
		raw_ring &in_, &out_;
	};

	end &a() noexcept { return a_; }
	end &b() noexcept { return b_; }

private:
	memory memory_ = memory::create_memfd("kvmchan-bench", 2 * raw_ring::size);
	std::unique_ptr<raw_ring> there_ = std::make_unique<raw_ring>(memory_.bytes().data());
	std::unique_ptr<raw_ring> back_ = std::make_unique<raw_ring>(memory_.bytes().data() + raw_ring::size);
	end a_{*back_, *there_}, b_{*there_, *back_};
};

/** Boost's queue between one producer and one consumer, of slots of 64 bytes. */
class queue_pair {
public:
	using slot = std::array<std::byte, 64>;
	using queue = boost::lockfree::spsc_queue<slot, boost::lockfree::capacity<raw_ring::size / sizeof(slot)>>;

	class end {
	public:
		end(queue &in, queue &out) noexcept : in_{in}, out_{out} {}

		void send(std::span<const std::byte> message) noexcept
		{
			slot filled;

			std::memcpy(filled.data(), message.data(), filled.size());
			while (!out_.push(filled))
				relax();
		}
		void recv(std::span<std::byte> message) noexcept
		{
			const auto take = [&](const slot &from) { std::memcpy(message.data(), from.data(), from.size()); };

			while (!in_.consume_one(take))
				relax();
		}

	private:
		queue &in_, &out_;
	};

	end &a() noexcept { return a_; }
	end &b() noexcept { return b_; }

private:
	std::unique_ptr<queue> there_ = std::make_unique<queue>(), back_ = std::make_unique<queue>();
	end a_{*back_, *there_}, b_{*there_, *back_};
};

/** A word on a cache line of its own for each way: the fastest that a CPU tells another one anything. */
class handoff_pair {
public:
	using word = std::atomic<std::uint64_t>;

	class alignas(128) end {
	public:
		end(word &in, word &out) noexcept : in_{in}, out_{out} {}

		void send(std::span<const std::byte> message) noexcept
		{
			std::uint64_t value = 0;

			std::memcpy(&value, message.data(), sizeof(value));
			out_.store(value + 1, std::memory_order_release);
		}
		/* Messages begin with a number that is never that of the one before. */
		void recv(std::span<std::byte> message) noexcept
		{
			std::uint64_t value = 0;

			while ((value = in_.load(std::memory_order_acquire)) == last_)
				relax();
			last_ = value--;
			std::memcpy(message.data(), &value, sizeof(value));
			std::memcpy(message.data() + message.size() - sizeof(value), &value, sizeof(value));
		}

	private:
		word &in_, &out_;
		std::uint64_t last_ = 0;
	};

	end &a() noexcept { return a_; }
	end &b() noexcept { return b_; }

private:
	own_line<word> there_, back_;
	end a_{back_.value, there_.value}, b_{there_.value, back_.value};
};

} // namespace kvmchan::bench

#endif
