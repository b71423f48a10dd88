// SPDX-License-Identifier: MIT
// A private, validated copy of a region's superblock and channel table.
#ifndef KVMCHAN_REGION_SNAPSHOT_HPP
#define KVMCHAN_REGION_SNAPSHOT_HPP

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "shared_format.hpp"

namespace kvmchan::detail {

/** The name in a slot that passed validation. */
std::string_view slot_name(const kvmchan_slot &slot) noexcept;

/** Superblock and table at one generation. A value; nothing in it is shared. */
class region_snapshot {
public:
	/**
	 * Copies and validates. A table that is being changed is waited for, for a
	 * second at most.
	 *
	 * Throws std::system_error: ENODATA not formatted, EPROTONOSUPPORT another
	 * major version, EBADMSG a superblock that makes no sense, ETIMEDOUT a
	 * table that stays in the middle of a change.
	 */
	static region_snapshot take(std::span<const std::byte> memory);

	const kvmchan_superblock &superblock() const noexcept { return superblock_; }
	std::span<const kvmchan_slot> slots() const noexcept { return slots_; }
	std::uint64_t generation() const noexcept { return superblock_.generation; }

	/** Why slot @p index may not be used; null for a good or a free one. */
	const char *why_bad(std::uint32_t index) const noexcept { return why_[index]; }

	/** The first good slot of that name. */
	std::optional<std::uint32_t> find(std::string_view name) const noexcept;

private:
	bool copy(std::span<const std::byte> memory);
	void validate();

	kvmchan_superblock superblock_{};
	std::vector<kvmchan_slot> slots_;
	std::vector<const char *> why_;
};

/** The table generation now; odd while the manager changes it. */
std::uint64_t table_generation(std::span<const std::byte> memory) noexcept;

/**
 * Whether slot @p index still is @p slot, in the same incarnation: name, kind,
 * place, sides and ID. Bounded: looks at those two structures only.
 */
bool slot_unchanged(std::span<const std::byte> memory, const region_snapshot &then, std::uint32_t index) noexcept;

} // namespace kvmchan::detail

#endif
