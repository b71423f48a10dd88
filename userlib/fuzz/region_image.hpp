// SPDX-License-Identifier: MIT
// The bytes of a region: a real one, and what an input makes of it.
#ifndef KVMCHAN_FUZZ_REGION_IMAGE_HPP
#define KVMCHAN_FUZZ_REGION_IMAGE_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "input.hpp"
#include "manager.hpp"

namespace kvmchan::fuzz {

inline constexpr std::size_t usual_size = 128 * 1024;
inline constexpr std::size_t most_size = 256 * 1024;

/** A region as its manager leaves it: two channels and a memory block. */
inline const std::vector<std::byte> &usual_region()
{
	static const std::vector<std::byte> made = [] {
		std::vector<std::byte> bytes(usual_size);
		manager table = manager::format(bytes, {.slots = 16, .zeroed = true});
		auto &superblock = *reinterpret_cast<kvmchan_superblock *>(bytes.data());

		table.add({"stream", KVMCHAN_KIND_CHANNEL, KVMCHAN_MODE_STREAM, {KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY}, {4096, 8192}});
		table.add({"packet", KVMCHAN_KIND_CHANNEL, KVMCHAN_MODE_PACKET, {1, KVMCHAN_PEER_HOST}, {4096, 4096}});
		table.add({"block", KVMCHAN_KIND_MEMORY, KVMCHAN_MODE_STREAM, {KVMCHAN_PEER_HOST, KVMCHAN_PEER_HOST}, {4096, 0}});
		/* An input means the same each time. */
		std::memset(superblock.incarnation, 1, sizeof(superblock.incarnation));
		return bytes;
	}();

	return made;
}

/** Something that is written into a region, whatever its size. */
struct region_write {
	std::size_t offset = 0;
	std::array<std::uint8_t, 8> bytes{};
	std::size_t size = 0;

	void apply(std::span<std::byte> region) const noexcept
	{
		for (std::size_t i = 0; i < size && offset + i < region.size(); ++i)
			region[offset + i] = static_cast<std::byte>(bytes[i]);
	}
};

/** Where words lie that mean something: of the superblock, and of a slot. */
inline std::size_t word_offset(unsigned where, std::uint64_t table) noexcept
{
	constexpr unsigned superblock_words = 9, slot_words = 17, first = 7;

	if (where < superblock_words)
		return where * sizeof(__le64);
	where -= superblock_words;
	/* The last words of the name, and what follows it. */
	return static_cast<std::size_t>(table) + where / (slot_words - first + 1) * sizeof(kvmchan_slot) +
	       (first - 1 + where % (slot_words - first + 1)) * sizeof(__le64);
}

/* Those of the superblock and of the slots that are used. */
inline constexpr unsigned usual_words = 9 + 3 * 11;

/** A write, as an input says it: a word or some bytes anywhere. */
inline region_write read_write(input &from)
{
	const std::uint8_t how = from.byte();
	region_write made;
	std::uint64_t value = 0;

	made.offset = how & 1 ? static_cast<std::size_t>(from.number(3) % most_size)
	                      : word_offset(how & 32 ? from.byte() : from.byte() % usual_words, KVMCHAN_PAGE_SIZE);
	made.size = how & 2 ? 4 : 8;
	switch (how >> 2 & 3) {
	case 0: /* near a page's start */
		value = from.byte() * std::uint64_t{KVMCHAN_PAGE_SIZE} + (how & 16 ? from.byte() : 0);
		break;
	case 1: /* near an end of what a word holds: what comes before 0 */
		value = from.byte() % 32 * (0 - std::uint64_t{KVMCHAN_PAGE_SIZE});
		break;
	case 2:
		value = std::uint64_t{1} << from.byte() % 64;
		break;
	default:
		value = from.number(static_cast<unsigned>(made.size));
		break;
	}
	std::memcpy(made.bytes.data(), &value, sizeof(value));
	return made;
}

/** Size and contents of a memory; the first bytes of @p from say them. */
inline std::vector<std::byte> read_region(input &from)
{
	const std::uint8_t shape = from.byte();
	std::vector<std::byte> region;

	if (shape & 1)
		region.resize(static_cast<std::size_t>(from.number(3) % most_size));
	else
		region = usual_region();
	if ((shape & 3) == 3 && !region.empty())
		std::memcpy(region.data(), usual_region().data(), std::min(region.size(), usual_size));
	/* Few: most leave nothing that could be used. */
	for (unsigned writes = shape >> 5; writes > 0 && !from.empty(); --writes)
		read_write(from).apply(region);
	return region;
}

} // namespace kvmchan::fuzz

#endif
