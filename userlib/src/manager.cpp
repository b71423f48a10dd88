// SPDX-License-Identifier: MIT
#include "manager.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/random.h>

#include "memory_size.hpp"

namespace kvmchan {
namespace {

constexpr std::uint32_t small_table = 16;
constexpr std::uint32_t usual_table = 64;
constexpr std::uint64_t small_region = 1 << 20;
/* No manager gets there by counting; a peer that writes into the table may. */
constexpr std::uint64_t id_limit = std::uint64_t{1} << 62;

[[noreturn]] void refuse(std::errc error, const std::string &text)
{
	throw std::system_error{std::make_error_code(error), text};
}

/* For messages: a name may hold anything until it is checked. */
std::string kind_of(const slot_spec &spec)
{
	std::string name = spec.name;

	std::replace_if(name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
	return (spec.kind == KVMCHAN_KIND_MEMORY ? "memory \"" : "channel \"") + name + "\"";
}

std::string_view name_of(const kvmchan_slot &slot) noexcept
{
	return {slot.name, ::strnlen(slot.name, sizeof(slot.name))};
}

/* 0 or an errno. */
int try_random(std::span<std::uint8_t> bytes) noexcept
{
	while (!bytes.empty()) {
		const ssize_t n = ::getrandom(bytes.data(), bytes.size(), 0);

		if (n > 0)
			bytes = bytes.subspan(static_cast<std::size_t>(n));
		else if (errno != EINTR)
			return errno;
	}
	return 0;
}

void fill_random(std::span<std::uint8_t> bytes)
{
	if (const int error = try_random(bytes))
		throw std::system_error{error, std::system_category(), "getrandom"};
}

/* Copies whole words, each by one access: peers look on, and may write. */
template <typename T>
T read_shared(const __le64 *from) noexcept
{
	static_assert(sizeof(T) % sizeof(__le64) == 0);
	T to;
	std::array<__u64, sizeof(T) / sizeof(__le64)> words;

	for (std::size_t i = 0; i < words.size(); ++i)
		words[i] = kvmchan_load(from + i);
	std::memcpy(&to, words.data(), sizeof(T));
	return to;
}

template <typename T>
void write_shared(__le64 *to, const T &from, std::size_t first_word = 0) noexcept
{
	static_assert(sizeof(T) % sizeof(__le64) == 0);
	std::array<__u64, sizeof(T) / sizeof(__le64)> words;

	std::memcpy(words.data(), &from, sizeof(T));
	for (std::size_t i = first_word; i < words.size(); ++i)
		kvmchan_store(to + i, words[i]);
}

std::uint32_t table_size(const format_options &options, std::uint64_t region_size)
{
	const std::uint32_t fitting = region_size < small_region ? small_table : usual_table;
	const std::uint32_t slots = options.slots ? options.slots : fitting;

	if (slots > KVMCHAN_MAX_SLOTS)
		refuse(std::errc::invalid_argument, "table of " + std::to_string(slots) + " slots (the limit is " +
		                                            std::to_string(KVMCHAN_MAX_SLOTS) + ")");
	return slots;
}

/* What a new channel's reaped words begin with: see first_epochs_before. */
std::array<std::uint64_t, 2> random_epochs()
{
	std::array<std::uint64_t, 2> epochs{};

	fill_random({reinterpret_cast<std::uint8_t *>(epochs.data()), sizeof(epochs)});
	for (std::uint64_t &epoch : epochs)
		epoch = epoch % first_epochs_before + 1;
	return epochs;
}

/*
 * Even, and such that no peer can have written it before: a reader that took a
 * peer's table for the next generation would not see that generation come. A
 * change is published even where there are no random numbers: this counts then.
 */
std::uint64_t generation_after(std::uint64_t now) noexcept
{
	std::uint64_t random = 0;

	if (try_random({reinterpret_cast<std::uint8_t *>(&random), sizeof(random)}))
		random = 0;
	return now + ((random | 1) << 1);
}

/* A free slot keeps the ID that it had, so that none is ever used again. */
kvmchan_slot free_slot(std::uint64_t id) noexcept
{
	kvmchan_slot slot{};

	slot.id = id;
	return slot;
}

std::vector<extent> extents_of(const kvmchan_slot &slot)
{
	std::vector<extent> list{{slot.control, slot.control + sizeof(kvmchan_control)}};

	for (const int i : {0, 1})
		if (slot.data_size[i])
			list.push_back({slot.data[i], slot.data[i] + slot.data_size[i]});
	return list;
}

} // namespace

manager manager::format(std::span<std::byte> region, const format_options &options)
{
	const std::uint64_t size = region.size() & ~std::uint64_t{KVMCHAN_PAGE_SIZE - 1};
	const std::uint32_t slots = table_size(options, size);
	const std::uint64_t table_end = KVMCHAN_PAGE_SIZE + kvmchan_table_bytes(slots);

	if (size < KVMCHAN_MIN_REGION || size <= table_end)
		refuse(std::errc::invalid_argument, "region of " + std::to_string(region.size()) + " bytes (at least " +
		                                            std::to_string(KVMCHAN_MIN_REGION) + ", and room beside a table of " +
		                                            std::to_string(slots) + " slots)");

	manager made{region};
	kvmchan_superblock &sb = made.superblock_;

	sb.magic = KVMCHAN_MAGIC;
	sb.major = KVMCHAN_VERSION_MAJOR;
	sb.minor = KVMCHAN_VERSION_MINOR;
	sb.size = size;
	sb.table_offset = KVMCHAN_PAGE_SIZE;
	sb.slot_count = slots;
	sb.slot_size = sizeof(kvmchan_slot);
	fill_random(sb.incarnation);
	made.slots_.resize(slots);
	made.layout_ = table_layout{size, options.zeroed};
	made.layout_.take({0, table_end});

	/* Whoever looks in the meantime finds no region; the magic comes last. */
	kvmchan_store(made.word(offsetof(kvmchan_superblock, magic)), 0);
	kvmchan_mb();
	sb.generation = kvmchan_load(made.word(offsetof(kvmchan_superblock, generation))) & ~std::uint64_t{1};
	made.publish();
	return made;
}

manager manager::adopt(std::span<std::byte> region)
{
	if (region.size() < KVMCHAN_MIN_REGION)
		refuse(std::errc::bad_message, "region of " + std::to_string(region.size()) + " bytes (at least " +
		                                       std::to_string(KVMCHAN_MIN_REGION) + ")");

	manager made{region};
	kvmchan_superblock &sb = made.superblock_;

	sb = read_shared<kvmchan_superblock>(made.word(0));
	if (const char *why = kvmchan_superblock_check(&sb, region.size()))
		refuse(std::errc::bad_message, std::string{"superblock: "} + why);
	made.slots_.resize(sb.slot_count);
	for (std::uint32_t i = 0; i < sb.slot_count; ++i)
		made.slots_[i] = read_shared<kvmchan_slot>(made.word(sb.table_offset + i * sizeof(kvmchan_slot)));

	std::vector<kvmchan_extent> scratch(std::size_t{sb.slot_count} * KVMCHAN_EXTENTS_PER_SLOT);
	std::vector<const char *> why(sb.slot_count);

	kvmchan_table_check(&sb, made.slots_.data(), scratch.data(), why.data());
	made.layout_ = table_layout{sb.size, false};
	made.layout_.take({0, KVMCHAN_PAGE_SIZE});
	made.layout_.take({sb.table_offset, sb.table_offset + kvmchan_table_bytes(sb.slot_count)});
	for (std::uint32_t i = 0; i < sb.slot_count; ++i) {
		kvmchan_slot &slot = made.slots_[i];

		if (slot.id > id_limit) {
			why[i] = "absurd id";
			slot.id = 0;
		}
		made.next_id_ = std::max<std::uint64_t>(made.next_id_, slot.id + 1);
		if (why[i]) {
			slot = free_slot(slot.id);
			++made.dropped_;
		} else if (slot.kind != KVMCHAN_KIND_FREE) {
			made.claim(slot);
		}
	}
	/* A manager that died in the middle of a change left it odd. */
	sb.generation = (sb.generation + 1) & ~std::uint64_t{1};
	sb.manager = 0;
	made.publish();
	return made;
}

bool manager::is_formatted(std::span<const std::byte> region) noexcept
{
	return region.size() >= KVMCHAN_PAGE_SIZE &&
	       kvmchan_load(reinterpret_cast<const __le64 *>(region.data())) == KVMCHAN_MAGIC;
}

std::uint32_t manager::add(const slot_spec &spec)
{
	check(spec);
	const auto free = std::find_if(slots_.begin(), slots_.end(),
	                               [](const kvmchan_slot &slot) { return slot.kind == KVMCHAN_KIND_FREE; });

	if (free == slots_.end())
		refuse(std::errc::no_space_on_device,
		       kind_of(spec) + ": the table is full with " + std::to_string(slots_.size()) + " slots");
	*free = place(spec);
	clear({free->control, free->control + sizeof(kvmchan_control)});
	if (spec.kind == KVMCHAN_KIND_MEMORY) {
		const extent block{free->data[0], free->data[0] + free->data_size[0]};

		if (layout_.used_before(block))
			clear(block);
	}
	publish();
	return static_cast<std::uint32_t>(free - slots_.begin());
}

void manager::remove(std::string_view name)
{
	const auto index = find(name);

	if (!index)
		refuse(std::errc::no_such_file_or_directory, "slot \"" + std::string{name} + "\"");

	kvmchan_slot &slot = slots_[*index];
	const kvmchan_slot gone = slot;

	slot = free_slot(gone.id);
	publish();
	release(gone);
}

std::optional<std::uint32_t> manager::find(std::string_view name) const noexcept
{
	for (std::uint32_t i = 0; i < slots_.size(); ++i)
		if (slots_[i].kind != KVMCHAN_KIND_FREE && name_of(slots_[i]) == name)
			return i;
	return std::nullopt;
}

void manager::announce(bool running)
{
	superblock_.manager = running ? KVMCHAN_BELL_RINGS : 0;
	publish();
}

bool manager::reap(std::uint32_t slot, unsigned side, std::uint64_t epoch)
{
	kvmchan_slot &entry = slots_[slot];

	epoch &= KVMCHAN_EPOCH_MASK;
	if (!epoch || kvmchan_epoch_reaped(entry.reaped[side], epoch))
		return false;
	entry.reaped[side] = epoch;
	kvmchan_store_release(word(superblock_.table_offset + slot * sizeof(kvmchan_slot) +
	                           offsetof(kvmchan_slot, reaped) + side * sizeof(__le64)),
	                      epoch);
	return true;
}

std::optional<bell_address> manager::rings_at(std::uint32_t slot, unsigned side) const noexcept
{
	/* Of us and a peer that changes its bell at least one sees the other. */
	kvmchan_mb();

	const std::uint64_t bell_word = bell(slot, side);

	if (!(bell_word & KVMCHAN_BELL_RINGABLE))
		return std::nullopt;
	return bell_address{static_cast<std::uint16_t>(bell_word >> KVMCHAN_BELL_PEER_SHIFT),
	                    static_cast<std::uint16_t>(bell_word)};
}

std::uint64_t manager::link(std::uint32_t slot, unsigned side) const noexcept
{
	return kvmchan_load_acquire(&session(slot, side)->link);
}

std::uint64_t manager::bell(std::uint32_t slot, unsigned side) const noexcept
{
	return kvmchan_load(&session(slot, side)->bell);
}

void manager::check(const slot_spec &spec) const
{
	char name[KVMCHAN_NAME_SIZE] = {};

	if (spec.name.size() < sizeof(name))
		std::copy(spec.name.begin(), spec.name.end(), name);
	if (!kvmchan_name_ok(name) || std::strlen(name) != spec.name.size())
		refuse(std::errc::invalid_argument,
		       kind_of(spec) + ": a name is a letter, digit or _ and then letters, digits and ._:@+-, at most " +
		               std::to_string(KVMCHAN_NAME_SIZE - 1) + " in all");
	if (find(spec.name))
		refuse(std::errc::file_exists, kind_of(spec) + ": the name is taken");
	for (const std::uint32_t side : spec.side)
		if (!kvmchan_side_ok(side))
			refuse(std::errc::invalid_argument, kind_of(spec) + ": side " + std::to_string(side) +
			                                            " is no ivshmem ID (0 to 65535)");
	if (spec.side[0] == spec.side[1] && spec.side[0] <= KVMCHAN_PEER_MAX)
		refuse(std::errc::invalid_argument, kind_of(spec) + ": both sides are peer " + std::to_string(spec.side[0]));
	if (spec.kind == KVMCHAN_KIND_MEMORY) {
		if (spec.size[0] == 0 || spec.size[0] % KVMCHAN_PAGE_SIZE != 0)
			refuse(std::errc::invalid_argument, kind_of(spec) + ": size " + std::to_string(spec.size[0]) +
			                                            " is no multiple of " + std::to_string(KVMCHAN_PAGE_SIZE));
		return;
	}
	if (spec.kind != KVMCHAN_KIND_CHANNEL || spec.mode > KVMCHAN_MODE_PACKET)
		refuse(std::errc::invalid_argument, kind_of(spec) + ": unknown kind or mode");
	for (const std::uint64_t size : spec.size)
		if (!kvmchan_ring_size_ok(size))
			refuse(std::errc::invalid_argument, kind_of(spec) + ": ring size " + std::to_string(size) +
			                                            " is no power of two from 4K to 1G");
}

kvmchan_slot manager::place(const slot_spec &spec)
{
	const bool channel = spec.kind == KVMCHAN_KIND_CHANNEL;
	const std::array<std::uint64_t, 3> sizes{sizeof(kvmchan_control), spec.size[0], channel ? spec.size[1] : 0};
	const auto epochs = random_epochs();
	std::array<extent, 3> ranges{};
	const table_layout before = layout_;

	for (std::size_t i = 0; i < sizes.size(); ++i) {
		const auto range = sizes[i] ? layout_.place(sizes[i]) : extent{};

		if (!range) {
			layout_ = before;
			refuse(std::errc::no_space_on_device,
			       kind_of(spec) + " needs " + std::to_string(sizes[0] + sizes[1] + sizes[2]) + " bytes; of the region's " +
			               format_size(superblock_.size) + ", " + std::to_string(layout_.free_bytes()) +
			               " are free and " + std::to_string(layout_.largest_free()) + " in one piece");
		}
		ranges[i] = *range;
	}

	kvmchan_slot slot{};

	std::copy(spec.name.begin(), spec.name.end(), slot.name);
	slot.kind = spec.kind;
	slot.mode = channel ? static_cast<__u32>(spec.mode) : 0;
	slot.id = next_id_++;
	slot.control = ranges[0].start;
	for (std::size_t i = 0; i < 2; ++i) {
		slot.side[i] = spec.side[i];
		slot.data[i] = ranges[i + 1].start;
		slot.data_size[i] = sizes[i + 1];
	}
	if (channel)
		std::copy(epochs.begin(), epochs.end(), slot.reaped);
	return slot;
}

void manager::claim(const kvmchan_slot &slot)
{
	for (const extent &range : extents_of(slot))
		layout_.take(range);
}

void manager::release(const kvmchan_slot &slot)
{
	for (const extent &range : extents_of(slot))
		layout_.give_back(range);
}

void manager::clear(const extent &range) noexcept
{
	for (std::uint64_t at = range.start; at < range.end; at += sizeof(__le64))
		kvmchan_store(word(at), 0);
}

/*
 * Writes superblock (but for the magic) and table. The seqlock's writer: odd,
 * barrier, the words, release to even. The barriers pair with those of a reader
 * that takes a snapshot: an even generation that has not changed around its
 * loads means that no store of ours fell between them.
 */
void manager::publish() noexcept
{
	__le64 *const generation = word(offsetof(kvmchan_superblock, generation));
	const std::uint64_t next = generation_after(superblock_.generation);

	++superblock_.generation;
	kvmchan_store(generation, superblock_.generation);
	kvmchan_mb();
	write_shared(word(0), superblock_, 1);
	for (std::size_t i = 0; i < slots_.size(); ++i)
		write_shared(word(superblock_.table_offset + i * sizeof(kvmchan_slot)), slots_[i]);
	superblock_.generation = next;
	kvmchan_store_release(generation, superblock_.generation);
	kvmchan_store_release(word(offsetof(kvmchan_superblock, magic)), KVMCHAN_MAGIC);
	/* Before the doorbell that tells of it. */
	kvmchan_mb();
}

__le64 *manager::word(std::uint64_t offset) const noexcept
{
	return reinterpret_cast<__le64 *>(region_.data() + offset);
}

const kvmchan_session_page *manager::session(std::uint32_t slot, unsigned side) const noexcept
{
	const auto *control = reinterpret_cast<const kvmchan_control *>(region_.data() + slots_[slot].control);

	return &control->side[side].session;
}

} // namespace kvmchan
