// SPDX-License-Identifier: MIT
// Superblock and table as a peer may leave them, in a memory of any size, for
// all who read them: the validator, the library's snapshot, the manager that
// goes on with a region. What passes is inside, and is nobody else's.
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "ambush.hpp"
#include "input.hpp"
#include "manager.hpp"
#include "manager_reaper.hpp"
#include "memory.hpp"
#include "region_image.hpp"
#include "region_snapshot.hpp"
#include "region_status.hpp"
#include "require.hpp"
#include "table_oracle.hpp"

namespace kvmchan::fuzz {
namespace {

using detail::region_snapshot;

/* Exactly as large as it says, so that whoever leaves it is seen; and aligned. */
class region_bytes {
public:
	explicit region_bytes(const std::vector<std::byte> &from)
		: data_{static_cast<std::byte *>(::operator new(from.size()))}, size_{from.size()}
	{
		if (size_)
			std::memcpy(data_.get(), from.data(), size_);
	}

	std::span<std::byte> bytes() const noexcept { return {data_.get(), size_}; }
	kvmchan_superblock *superblock() const noexcept { return reinterpret_cast<kvmchan_superblock *>(data_.get()); }

	/* Is there one, and does it say that it is being changed? */
	bool changing() const noexcept { return size_ >= sizeof(kvmchan_superblock) && (superblock()->generation & 1); }

private:
	struct release {
		void operator()(std::byte *data) const noexcept { ::operator delete(data); }
	};

	std::unique_ptr<std::byte, release> data_;
	std::size_t size_;
};

/* Somebody who writes into a region while it is read. */
class scribbler {
public:
	scribbler(input &from, const region_bytes &region) : region_{region}
	{
		for (unsigned left = from.byte() % 8; left && !from.empty(); --left) {
			const auto loads = static_cast<unsigned>(from.number(2) % 2048);

			ambush_.wait(loads, [this, made = read_write(from)] { made.apply(region_.bytes()); });
		}
		now = this;
	}
	scribbler(const scribbler &) = delete;
	scribbler &operator=(const scribbler &) = delete;
	~scribbler() { now = nullptr; }

	/* A change that never ends is waited for, for a second: it ends when it was seen. */
	void before_load(const __le64 *word)
	{
		ambush_.before_load();
		if (!region_.changing() || word != &region_.superblock()->generation)
			return;
		if (seen_)
			++region_.superblock()->generation;
		seen_ = !seen_;
	}

	static scribbler *now;

private:
	const region_bytes &region_;
	ambush ambush_;
	bool seen_ = false;
};

scribbler *scribbler::now = nullptr;

/* Runs what may refuse, and must not do worse. */
template <typename Call>
bool works(Call call)
{
	try {
		call();
		return true;
	} catch (const std::system_error &) {
		return false;
	}
}

/* As kmod/table.c has it: private copies, and the validator. */
void validate(const std::vector<std::byte> &image)
{
	kvmchan_superblock superblock;

	if (image.size() < KVMCHAN_MIN_REGION)
		return;
	std::memcpy(&superblock, image.data(), sizeof(superblock));
	if (kvmchan_superblock_check(&superblock, image.size()))
		return;
	check_superblock(superblock, image.size());

	std::vector<kvmchan_slot> slots(superblock.slot_count);
	std::vector<kvmchan_extent> extents(slots.size() * KVMCHAN_EXTENTS_PER_SLOT);
	std::vector<const char *> why(slots.size());

	std::memcpy(slots.data(), image.data() + superblock.table_offset, slots.size() * sizeof(kvmchan_slot));
	kvmchan_table_check(&superblock, slots.data(), extents.data(), why.data());
	check_slots(superblock, slots, [&](std::size_t i) { return why[i]; });
	for (const kvmchan_slot &slot : slots)
		for (const std::uint32_t id : {0U, 1U, KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY}) {
			const int side = kvmchan_slot_side(&slot, id, id);

			require(side < 0 || slot.side[side] == id || slot.side[side] == KVMCHAN_PEER_ANY, "a side that falls to us is ours");
		}
}

void check_snapshot(const region_snapshot &table, std::size_t memory)
{
	check_superblock(table.superblock(), memory);
	check_slots(table.superblock(), table.slots(), [&](std::size_t i) { return table.why_bad(static_cast<std::uint32_t>(i)); });
}

/* What the library does with a region that it attaches, up to its channels. */
void attach(const std::vector<std::byte> &image, input &from)
{
	const region_bytes region{image};
	const scribbler peer{from, region};

	works([&] {
		const region_snapshot table = region_snapshot::take(region.bytes());

		std::uint32_t last = 0;

		check_snapshot(table, region.bytes().size());
		for (std::uint32_t i = 0; i < table.slots().size(); ++i) {
			kvmchan_slot_info info{};

			if (table.slots()[i].kind == KVMCHAN_KIND_FREE || table.why_bad(i))
				continue;
			detail::add_status(region.bytes(), table, i, info);
			const auto found = table.find(detail::slot_name(table.slots()[i]));

			require(found && *found <= i, "a good slot is found by its name");
			last = i;
		}
		detail::slot_unchanged(region.bytes(), table, last);
	});
}

void manage(manager &table, manager_reaper &reaper, input &from)
{
	const auto slot = static_cast<std::uint32_t>(from.byte() % table.slots().size());
	const bool taken = table.slots()[slot].kind != KVMCHAN_KIND_FREE;
	slot_spec spec;

	switch (from.byte() % 6) {
	case 0:
		spec.name = std::string{from.text(from.byte() % 8)};
		spec.kind = static_cast<kvmchan_kind>(1 + from.byte() % 2);
		spec.size = {std::uint64_t{4096} << from.byte() % 8, std::uint64_t{4096} << from.byte() % 4};
		spec.side = {from.byte() % 4 ? KVMCHAN_PEER_HOST : 1, from.byte() % 4 ? KVMCHAN_PEER_ANY : 2};
		works([&] { table.add(spec); });
		break;
	case 1:
		works([&] { table.remove(detail::slot_name(table.slots()[slot])); });
		break;
	case 2:
		if (taken)
			table.reap(slot, slot & 1, from.number(4));
		break;
	case 3:
		reaper.peer_left(static_cast<std::uint16_t>(from.number(2) % 4));
		break;
	case 4:
		reaper.scan_locks();
		break;
	default:
		if (taken)
			table.rings_at(slot, slot & 1);
		break;
	}
}

/* A manager that goes on with what others have had: its own table is good. */
void adopt(const std::vector<std::byte> &image, input &from)
{
	static const memory locks = memory::create_memfd("kvmchan-fuzz-locks", usual_size);
	const region_bytes region{image};

	works([&] {
		std::unique_ptr<scribbler> peer = std::make_unique<scribbler>(from, region);
		manager table = manager::adopt(region.bytes());
		manager_reaper reaper{table, locks.fd()};

		for (unsigned left = from.byte() % 16; left && !from.empty(); --left)
			manage(table, reaper, from);
		require(table.layout().free_bytes() <= region.bytes().size(), "no more is free than there is");
		peer.reset();
		/* The magic is the one word that no change writes again. */
		region.superblock()->magic = KVMCHAN_MAGIC;
		table.announce(true);

		const region_snapshot after = region_snapshot::take(region.bytes());

		check_snapshot(after, region.bytes().size());
		for (std::uint32_t i = 0; i < after.slots().size(); ++i)
			require(!after.why_bad(i), "a manager's slots are good");
	});
}

} // namespace
} // namespace kvmchan::fuzz

void kvmchan_before_load(const __le64 *word)
{
	if (kvmchan::fuzz::scribbler::now)
		kvmchan::fuzz::scribbler::now->before_load(word);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	kvmchan::fuzz::input in{data, size};
	const auto image = kvmchan::fuzz::read_region(in);

	kvmchan::fuzz::validate(image);
	kvmchan::fuzz::attach(image, in);
	kvmchan::fuzz::adopt(image, in);
	return 0;
}
