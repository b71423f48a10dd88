// SPDX-License-Identifier: MIT
// Regions in memory, and ways to fill them, for the tests of channels.
#ifndef KVMCHAN_CHANNEL_FIXTURE_HPP
#define KVMCHAN_CHANNEL_FIXTURE_HPP

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvmchan/channel.hpp"
#include "kvmchan/region.hpp"
#include "memory.hpp"

namespace kvmchan::test {

/** A sealed memfd with a region of channels between processes on the host. */
class test_region {
public:
	static constexpr std::uint64_t default_ring = 4096;

	explicit test_region(channel_mode mode = channel_mode::stream, std::uint64_t ring = default_ring,
	                     std::uint32_t side1 = side_host, unsigned channels = 1)
		: memory_{memory::create_memfd("kvmchan-test", 16U << 20)}
	{
		new_region wanted;

		for (unsigned i = 0; i < channels; ++i)
			wanted.slots.push_back(
				{"c" + std::to_string(i), slot_kind::channel, mode, {side_host, side1}, {ring, ring}});
		format_region(memory_.fd(), wanted);
	}

	int fd() const noexcept { return memory_.fd(); }
	std::span<std::byte> bytes() const noexcept { return memory_.bytes(); }
	region open() const { return region::adopt(memory_.fd()); }

	channel end(unsigned side, bool non_blocking = false, const std::string &name = "c0") const
	{
		channel_options options;

		options.side = side;
		options.non_blocking = non_blocking;
		return channel{open(), name, options};
	}

private:
	memory memory_;
};

/** Bytes that depend on the seed and on their place alone. */
class byte_stream {
public:
	explicit byte_stream(std::uint64_t seed) : random_{seed} {}

	void fill(std::span<std::byte> to)
	{
		for (std::byte &b : to)
			b = next();
	}

	std::byte next()
	{
		if (left_ == 0) {
			word_ = random_();
			left_ = 8;
		}
		const auto b = static_cast<std::byte>(word_);

		word_ >>= 8;
		--left_;
		return b;
	}

private:
	std::mt19937_64 random_;
	std::uint64_t word_ = 0;
	unsigned left_ = 0;
};

inline std::span<const std::byte> as_bytes(const std::string &text)
{
	return std::as_bytes(std::span{text});
}

inline std::string to_text(std::span<const std::byte> bytes)
{
	return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

/** What a read gives now, as text. */
inline std::string read_text(channel &from, std::size_t most = 4096)
{
	std::vector<std::byte> buffer(most);

	buffer.resize(from.read_some(buffer));
	return to_text(buffer);
}

} // namespace kvmchan::test

#endif
