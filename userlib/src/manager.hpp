// SPDX-License-Identifier: MIT
// The one writer of a region's superblock and channel table.
#ifndef KVMCHAN_MANAGER_HPP
#define KVMCHAN_MANAGER_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "table_layout.hpp"
#include "session.h"
#include "table.h"

namespace kvmchan {

/** A channel or a memory block that is to be. */
struct slot_spec {
	static constexpr std::uint64_t default_size = 64 * 1024;

	std::string name;
	kvmchan_kind kind = KVMCHAN_KIND_CHANNEL;
	kvmchan_mode mode = KVMCHAN_MODE_STREAM;
	/** Who is side 0 and side 1: an ivshmem ID or KVMCHAN_PEER_*. */
	std::array<std::uint32_t, 2> side{KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY};
	/** Of the ring that each side writes; memory: the block's size, and 0. */
	std::array<std::uint64_t, 2> size{default_size, default_size};
};

/**
 * A new channel's first sessions have an epoch from 2 to one past this, so that
 * nobody remembers it from a former channel in the same pages: FORMAT.md, "Death".
 */
inline constexpr std::uint64_t first_epochs_before = KVMCHAN_EPOCH_MASK / 2;

struct format_options {
	/** Slots in the table; 0: what suits the region's size. */
	std::uint32_t slots = 0;
	/** The memory is all zero: it was made for this. */
	bool zeroed = false;
};

/** Where a side can be rung. */
struct bell_address {
	std::uint16_t peer = 0;
	std::uint16_t vector = 0;

	bool operator==(const bell_address &) const = default;
};

/**
 * Writes the superblock and the table of one region, of which it is the only
 * manager: see manager_lock. The caller's private copy of the table is the
 * master; what peers scribble over the shared one is never read back, and
 * mended with the next change.
 *
 * One thread at a time. Every change is over when the call returns, and no call
 * waits. Refusals throw std::system_error that names the slot and the limit and
 * change nothing:
 *   invalid_argument   bad name, size, side, mode
 *   file_exists        the name is taken
 *   no_space_on_device no slot, or no piece of memory, is left
 *   no_such_file_or_directory there is no slot of that name
 */
class manager {
public:
	/** Makes @p region a region without slots. It outlives the manager. */
	static manager format(std::span<std::byte> region, const format_options &options = {});

	/**
	 * Goes on with a region that was formatted before: incarnation, slots and
	 * their sessions stay. Slots that do not stand up to validation are
	 * removed; dropped() says how many. A bad superblock is bad_message.
	 */
	static manager adopt(std::span<std::byte> region);

	/** Does @p region begin with our magic? Says nothing about the rest. */
	static bool is_formatted(std::span<const std::byte> region) noexcept;

	/** Adds a slot with zeroed control pages; returns its number. */
	std::uint32_t add(const slot_spec &spec);
	/** Ends a slot. Its sessions are over, its space will be used again. */
	void remove(std::string_view name);

	std::optional<std::uint32_t> find(std::string_view name) const noexcept;
	/** The private copy of the table, free slots included. */
	std::span<const kvmchan_slot> slots() const noexcept { return slots_; }
	/** The region, to reach the control pages of slots(). */
	std::span<std::byte> region() const noexcept { return region_; }
	std::span<const std::uint8_t> incarnation() const noexcept { return superblock_.incarnation; }
	std::uint64_t generation() const noexcept { return superblock_.generation; }
	std::size_t dropped() const noexcept { return dropped_; }
	const table_layout &layout() const noexcept { return layout_; }

	/** Says whether a manager runs that rings vector 0 at each change. */
	void announce(bool running);

	/**
	 * Declares every session of a side up to @p epoch dead. False when there
	 * is none, or that epoch is dead already.
	 */
	bool reap(std::uint32_t slot, unsigned side, std::uint64_t epoch);

	/** Where a side wants to be rung, if anywhere, for what was read or done before. */
	std::optional<bell_address> rings_at(std::uint32_t slot, unsigned side) const noexcept;

	/** The words of a side's session page, as they are now; peer's to write. */
	std::uint64_t link(std::uint32_t slot, unsigned side) const noexcept;
	std::uint64_t bell(std::uint32_t slot, unsigned side) const noexcept;

private:
	explicit manager(std::span<std::byte> region) noexcept : region_{region} {}

	void check(const slot_spec &spec) const;
	kvmchan_slot place(const slot_spec &spec);
	void claim(const kvmchan_slot &slot);
	void release(const kvmchan_slot &slot);
	void clear(const extent &range) noexcept;
	void publish() noexcept;
	__le64 *word(std::uint64_t offset) const noexcept;
	const kvmchan_session_page *session(std::uint32_t slot, unsigned side) const noexcept;

	std::span<std::byte> region_;
	kvmchan_superblock superblock_{};
	std::vector<kvmchan_slot> slots_;
	table_layout layout_;
	std::uint64_t next_id_ = 1;
	std::size_t dropped_ = 0;
};

} // namespace kvmchan

#endif
