// SPDX-License-Identifier: MIT
#include "region_snapshot.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>

#include "failure.hpp"

namespace kvmchan::detail {
namespace {

using clock = std::chrono::steady_clock;

constexpr auto change_limit = std::chrono::seconds{1};
constexpr auto change_pause = std::chrono::milliseconds{1};

const __le64 *word(std::span<const std::byte> memory, std::size_t offset) noexcept
{
	return reinterpret_cast<const __le64 *>(memory.data() + offset);
}

void check_superblock(const kvmchan_superblock &superblock, std::uint64_t memory_size)
{
	const char *const why = kvmchan_superblock_check(&superblock, memory_size);

	if (!why)
		return;
	if (superblock.magic != KVMCHAN_MAGIC)
		fail(ENODATA, std::string{why} + R"( (run "kvmchan create" or "kvmchan serve" on it))");
	if (superblock.major != KVMCHAN_VERSION_MAJOR)
		fail(EPROTONOSUPPORT, "format version " + std::to_string(superblock.major) + ", this library knows " +
		                              std::to_string(KVMCHAN_VERSION_MAJOR));
	fail(EBADMSG, std::string{"superblock: "} + why);
}

} // namespace

std::string_view slot_name(const kvmchan_slot &slot) noexcept
{
	return {slot.name, ::strnlen(slot.name, sizeof(slot.name))};
}

std::uint64_t table_generation(std::span<const std::byte> memory) noexcept
{
	return kvmchan_load_acquire(word(memory, offsetof(kvmchan_superblock, generation)));
}

/*
 * The reader's half of the seqlock. An even generation before, the words, a
 * barrier that pairs with the manager's after it stored the odd one, and the
 * same generation after: no store of the manager fell in between. Superblock
 * and table are both inside, and the table is only looked for where a
 * superblock that passed validation says.
 */
bool region_snapshot::copy(std::span<const std::byte> memory)
{
	const std::uint64_t before = table_generation(memory);

	if (before & 1)
		return false;
	superblock_ = load_words<kvmchan_superblock>(memory.data());
	kvmchan_mb();
	if (table_generation(memory) != before)
		return false;
	check_superblock(superblock_, memory.size());
	slots_.resize(superblock_.slot_count);
	for (std::size_t i = 0; i < slots_.size(); ++i)
		slots_[i] = load_words<kvmchan_slot>(memory.data() + superblock_.table_offset + i * sizeof(kvmchan_slot));
	kvmchan_mb();
	return table_generation(memory) == before && superblock_.generation == before;
}

void region_snapshot::validate()
{
	std::vector<kvmchan_extent> scratch(slots_.size() * KVMCHAN_EXTENTS_PER_SLOT);

	why_.resize(slots_.size());
	kvmchan_table_check(&superblock_, slots_.data(), scratch.data(), why_.data());
}

region_snapshot region_snapshot::take(std::span<const std::byte> memory)
{
	const auto deadline = clock::now() + change_limit;
	region_snapshot snapshot;

	if (memory.size() < KVMCHAN_MIN_REGION)
		fail(EBADMSG, "memory of " + std::to_string(memory.size()) + " bytes, a region has at least " +
		                      std::to_string(KVMCHAN_MIN_REGION));
	while (!snapshot.copy(memory)) {
		if (clock::now() >= deadline)
			fail(ETIMEDOUT, "the channel table stays in the middle of a change: its manager died, restart it");
		std::this_thread::sleep_for(change_pause);
	}
	snapshot.validate();
	return snapshot;
}

std::optional<std::uint32_t> region_snapshot::find(std::string_view name) const noexcept
{
	for (std::uint32_t i = 0; i < slots_.size(); ++i)
		if (slots_[i].kind != KVMCHAN_KIND_FREE && !why_[i] && slot_name(slots_[i]) == name)
			return i;
	return std::nullopt;
}

bool slot_unchanged(std::span<const std::byte> memory, const region_snapshot &then, std::uint32_t index) noexcept
{
	/* All of a slot that changes only under the generation. */
	constexpr std::size_t lasting = offsetof(kvmchan_slot, reaped);
	const kvmchan_superblock &old = then.superblock();
	const auto superblock = load_words<kvmchan_superblock>(memory.data());
	const auto slot = load_words<kvmchan_slot>(memory.data() + old.table_offset + index * sizeof(kvmchan_slot));

	return superblock.magic == old.magic && superblock.table_offset == old.table_offset &&
	       std::memcmp(superblock.incarnation, old.incarnation, sizeof(old.incarnation)) == 0 &&
	       std::memcmp(&slot, &then.slots()[index], lasting) == 0;
}

} // namespace kvmchan::detail
