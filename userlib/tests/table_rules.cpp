// SPDX-License-Identifier: MIT
// What a superblock and a table may say.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "shared_format.hpp"

namespace {

constexpr std::uint64_t page = KVMCHAN_PAGE_SIZE;
constexpr std::uint64_t region_size = 256 * page;

std::string text(const char *why)
{
	return why ? why : "";
}

kvmchan_superblock good_superblock()
{
	kvmchan_superblock sb{};

	sb.magic = KVMCHAN_MAGIC;
	sb.major = KVMCHAN_VERSION_MAJOR;
	sb.size = region_size;
	sb.table_offset = page;
	sb.slot_count = 16;
	sb.slot_size = sizeof(kvmchan_slot);
	return sb;
}

/* A channel whose pages begin at page @first: 4 of control, 2 rings of one. */
kvmchan_slot good_slot(const char *name, std::uint64_t first)
{
	kvmchan_slot slot{};

	std::strncpy(slot.name, name, sizeof(slot.name) - 1);
	slot.kind = KVMCHAN_KIND_CHANNEL;
	slot.side[0] = KVMCHAN_PEER_HOST;
	slot.side[1] = KVMCHAN_PEER_ANY;
	slot.control = first * page;
	slot.data[0] = (first + 4) * page;
	slot.data[1] = (first + 5) * page;
	slot.data_size[0] = slot.data_size[1] = page;
	return slot;
}

template <typename Change>
std::string superblock_with(Change change)
{
	kvmchan_superblock sb = good_superblock();

	change(sb);
	return text(kvmchan_superblock_check(&sb, region_size));
}

template <typename Change>
std::string slot_with(Change change)
{
	kvmchan_slot slot = good_slot("c", 8);

	change(slot);
	return text(kvmchan_slot_check(&slot, region_size));
}

TEST(table_rules, superblock)
{
	using sb = kvmchan_superblock;

	EXPECT_EQ(superblock_with([](sb &) {}), "");
	EXPECT_EQ(superblock_with([](sb &s) { s.minor = 9; s.reserved1[7] = 1; }), "") << "additive";
	EXPECT_EQ(superblock_with([](sb &s) { s.magic ^= 1; }), "not formatted: no kvmchan magic");
	EXPECT_EQ(superblock_with([](sb &s) { s.major = 2; }), "made by an incompatible major version");
	EXPECT_EQ(superblock_with([](sb &s) { s.size = region_size + 1; }), "size is not within the memory");
	EXPECT_EQ(superblock_with([](sb &s) { s.size = KVMCHAN_MIN_REGION - 1; }), "size is not within the memory");
	EXPECT_EQ(superblock_with([](sb &s) { s.slot_count = 0; }), "slot count is not within 1 to 4096");
	EXPECT_EQ(superblock_with([](sb &s) { s.slot_count = 4097; }), "slot count is not within 1 to 4096");
	EXPECT_EQ(superblock_with([](sb &s) { s.slot_size = 128; }), "slot size is not 256");
	for (const std::uint64_t offset : {std::uint64_t{0}, page + 1, region_size, ~std::uint64_t{0} & ~(page - 1)})
		EXPECT_EQ(superblock_with([&](sb &s) { s.table_offset = offset; }),
		          "table is not page-aligned inside the region");
	EXPECT_EQ(superblock_with([](sb &s) { s.slot_count = 4096; }), "table is not page-aligned inside the region");
}

TEST(table_rules, slot_alone)
{
	using slot = kvmchan_slot;

	EXPECT_EQ(slot_with([](slot &) {}), "");
	EXPECT_EQ(slot_with([](slot &s) { s.kind = 3; }), "unknown kind");
	EXPECT_EQ(slot_with([](slot &s) { s.mode = 2; }), "unknown mode");
	EXPECT_EQ(slot_with([](slot &s) { s.side[0] = 65536; }), "a side is neither an ID nor HOST nor ANY");
	EXPECT_EQ(slot_with([](slot &s) { s.side[0] = s.side[1] = 3; }), "both sides are the same peer");
	EXPECT_EQ(slot_with([](slot &s) { s.side[0] = s.side[1] = KVMCHAN_PEER_HOST; }), "");
	EXPECT_EQ(slot_with([](slot &s) { s.control = 0; }), "control pages are not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.control += 8; }), "control pages are not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.control = region_size - page; }), "control pages are not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.data[0] = ~page + 1; }), "data of side 0 is not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.data_size[0] = 0; }), "data of side 0 is not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.data_size[1] = ~std::uint64_t{0} & ~(page - 1); }),
	          "data of side 1 is not inside the region");
	EXPECT_EQ(slot_with([](slot &s) { s.data_size[1] = 3 * page; }), "ring size is not a power of two of 4 KiB to 1 GiB");
}

TEST(table_rules, memory_has_one_block_of_any_number_of_pages)
{
	const auto memory = [](kvmchan_slot &s) {
		s.kind = KVMCHAN_KIND_MEMORY;
		s.data_size[0] = 3 * page;
		s.data[1] = s.data_size[1] = 0;
	};

	EXPECT_EQ(slot_with(memory), "");
	EXPECT_EQ(slot_with([&](kvmchan_slot &s) { memory(s); s.data[1] = page; }), "memory has a second block");
	EXPECT_EQ(slot_with([&](kvmchan_slot &s) { memory(s); s.data_size[0] = 5000; }),
	          "data of side 0 is not inside the region");
}

TEST(table_rules, names)
{
	const auto ok = [](const std::string &name) {
		char field[KVMCHAN_NAME_SIZE] = {};

		std::copy_n(name.begin(), std::min(name.size(), sizeof(field)), field);
		return kvmchan_name_ok(field);
	};

	for (const char *name : {"a", "_x", "0", "A.b:c@d+e-f"})
		EXPECT_TRUE(ok(name)) << name;
	for (const char *name : {"", ".a", "-a", "a/b", "a b", "\xc3\xa9", "a\n"})
		EXPECT_FALSE(ok(name)) << name;
	EXPECT_TRUE(ok(std::string(63, 'x')));
	EXPECT_FALSE(ok(std::string(64, 'x')));
	EXPECT_FALSE(ok(std::string("ab\0c", 4))) << "padding is zero";
}

class table_overlaps : public testing::Test {
protected:
	std::vector<std::string> check()
	{
		std::vector<kvmchan_extent> extents(slots.size() * KVMCHAN_EXTENTS_PER_SLOT);
		std::vector<const char *> why(slots.size());
		std::vector<std::string> texts;

		sb.slot_count = static_cast<__u32>(slots.size());
		kvmchan_table_check(&sb, slots.data(), extents.data(), why.data());
		texts.reserve(why.size());
		for (const char *one : why)
			texts.push_back(text(one));
		return texts;
	}

	kvmchan_superblock sb = good_superblock();
	std::vector<kvmchan_slot> slots{good_slot("a", 8), good_slot("b", 16), good_slot("c", 24)};
};

using list = std::vector<std::string>;

TEST_F(table_overlaps, none)
{
	EXPECT_EQ(check(), (list{"", "", ""}));
	slots[1] = {};
	slots[1].id = 77;
	EXPECT_EQ(check(), (list{"", "", ""})) << "a free slot is good, whatever else it says";
}

TEST_F(table_overlaps, two_slots)
{
	slots[2].data[1] = slots[0].data[0];
	EXPECT_EQ(check(), (list{"overlaps another slot", "", "overlaps another slot"}));
}

TEST_F(table_overlaps, within_a_slot)
{
	slots[1].data[1] = slots[1].data[0];
	EXPECT_EQ(check(), (list{"", "overlaps another slot", ""}));
}

TEST_F(table_overlaps, one_over_all_of_the_others)
{
	slots[0].data[0] = 8 * page;
	slots[0].data_size[0] = 128 * page;
	slots[0].control = 200 * page;
	slots[0].data[1] = 210 * page;
	EXPECT_EQ(check(), (list{"overlaps another slot", "overlaps another slot", "overlaps another slot"}));
}

TEST_F(table_overlaps, the_table)
{
	slots[1].data[0] = page;
	EXPECT_EQ(check(), (list{"", "overlaps the table", ""}));
}

TEST_F(table_overlaps, a_bad_slot_harms_nobody)
{
	slots[1] = slots[0];
	slots[1].kind = 9;
	EXPECT_EQ(check(), (list{"", "unknown kind", ""}));
}

TEST(table_sides, who_takes_which)
{
	const auto side = [](std::uint32_t s0, std::uint32_t s1, std::uint32_t id, unsigned prefer) {
		kvmchan_slot slot{};

		slot.side[0] = s0;
		slot.side[1] = s1;
		return kvmchan_slot_side(&slot, id, prefer);
	};
	constexpr std::uint32_t host = KVMCHAN_PEER_HOST, any = KVMCHAN_PEER_ANY;

	EXPECT_EQ(side(host, any, host, 1), 0) << "a side that names us comes first";
	EXPECT_EQ(side(any, host, host, 0), 1);
	EXPECT_EQ(side(host, any, 5, 0), 1);
	EXPECT_EQ(side(host, 5, 5, 0), 1);
	EXPECT_EQ(side(host, 5, 6, 0), -1);
	EXPECT_EQ(side(any, any, 5, 0), 0);
	EXPECT_EQ(side(any, any, 5, 1), 1);
	EXPECT_EQ(side(host, host, host, 1), 1);
	EXPECT_EQ(side(host, 5, any, 0), -1);
	EXPECT_EQ(side(host, any, any, 0), 1);
}

} // namespace
