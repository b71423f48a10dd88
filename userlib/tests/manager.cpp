// SPDX-License-Identifier: MIT
// What the manager writes, seen through the validator that everybody uses.
#include "manager.hpp"

#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvmchan/region.hpp"
#include "memory.hpp"

namespace kvmchan {
namespace {

slot_spec channel(const std::string &name, std::uint64_t size = 4096)
{
	slot_spec spec;

	spec.name = name;
	spec.size = {size, size};
	return spec;
}

slot_spec block(const std::string &name, std::uint64_t size)
{
	slot_spec spec;

	spec.name = name;
	spec.kind = KVMCHAN_KIND_MEMORY;
	spec.size = {size, 0};
	return spec;
}

class manager_test : public ::testing::Test {
protected:
	const kvmchan_superblock &superblock() const
	{
		return *reinterpret_cast<const kvmchan_superblock *>(memory_.bytes().data());
	}

	std::span<kvmchan_slot> table() const
	{
		return {reinterpret_cast<kvmchan_slot *>(memory_.bytes().data() + superblock().table_offset),
		        superblock().slot_count};
	}

	void expect_valid() const
	{
		std::vector<kvmchan_extent> scratch(std::size_t{superblock().slot_count} * KVMCHAN_EXTENTS_PER_SLOT);
		std::vector<const char *> why(superblock().slot_count);

		const char *const bad = kvmchan_superblock_check(&superblock(), memory_.size());

		ASSERT_EQ(bad, nullptr) << bad;
		EXPECT_EQ(superblock().generation % 2, 0U);
		kvmchan_table_check(&superblock(), table().data(), scratch.data(), why.data());
		for (std::size_t i = 0; i < why.size(); ++i)
			EXPECT_EQ(why[i], nullptr) << "slot " << i << ": " << why[i];
	}

	static void expect_refused(manager &table, const slot_spec &spec, std::errc error, const std::string &words)
	{
		const std::uint64_t before = table.generation();

		try {
			table.add(spec);
			ADD_FAILURE() << spec.name << " was added";
		} catch (const std::system_error &refusal) {
			EXPECT_EQ(refusal.code(), error) << refusal.what();
			EXPECT_NE(std::string{refusal.what()}.find(words), std::string::npos) << refusal.what();
		}
		EXPECT_EQ(table.generation(), before) << "a refusal changed the table";
	}

	memory memory_ = memory::create_memfd("test", 1 << 20);
};

TEST_F(manager_test, format_is_valid_and_empty)
{
	manager table = manager::format(memory_.bytes());

	EXPECT_TRUE(manager::is_formatted(memory_.bytes()));
	expect_valid();
	EXPECT_EQ(superblock().size, memory_.size());
	EXPECT_EQ(superblock().manager, 0U);
	for (const kvmchan_slot &slot : this->table())
		EXPECT_EQ(slot.kind, KVMCHAN_KIND_FREE);
}

TEST_F(manager_test, each_format_is_another_incarnation)
{
	const manager first = manager::format(memory_.bytes());
	const std::vector<std::uint8_t> before{first.incarnation().begin(), first.incarnation().end()};
	const manager second = manager::format(memory_.bytes());

	EXPECT_FALSE(std::equal(before.begin(), before.end(), second.incarnation().begin()));
}

TEST_F(manager_test, format_over_rubbish)
{
	std::mt19937 random{1};	// NOLINT(cert-msc32-c,cert-msc51-cpp): the same in each run

	for (std::byte &byte : memory_.bytes())
		byte = static_cast<std::byte>(random());
	manager table = manager::format(memory_.bytes());

	table.add(channel("one"));
	table.add(block("two", 8192));
	expect_valid();
	const kvmchan_slot &two = table.slots()[1];

	for (std::uint64_t i = 0; i < two.data_size[0]; ++i)
		ASSERT_EQ(memory_.bytes()[two.data[0] + i], std::byte{0}) << "rubbish in a new block at " << i;
}

TEST_F(manager_test, small_and_odd_regions)
{
	std::vector<std::byte> smallest(KVMCHAN_MIN_REGION + 4096);
	void *at = smallest.data();
	std::size_t space = smallest.size();
	auto *const page = static_cast<std::byte *>(std::align(4096, KVMCHAN_MIN_REGION, at, space));
	manager table = manager::format({page, KVMCHAN_MIN_REGION});

	table.add(channel("one"));
	EXPECT_EQ(table.layout().free_bytes(), 0U);
	EXPECT_THROW(manager::format({page, KVMCHAN_MIN_REGION - 1}), std::system_error);
	EXPECT_THROW(manager::format(memory_.bytes(), {5000, false}), std::system_error);
	EXPECT_THROW(manager::format({page, KVMCHAN_MIN_REGION}, {4096, false}), std::system_error);
}

TEST_F(manager_test, refusals_name_the_limit)
{
	manager table = manager::format(memory_.bytes(), {3, true});

	expect_refused(table, channel(""), std::errc::invalid_argument, "63");
	expect_refused(table, channel("-x"), std::errc::invalid_argument, "-x");
	expect_refused(table, channel("a/b"), std::errc::invalid_argument, "a/b");
	expect_refused(table, channel(std::string("a\0b", 3)), std::errc::invalid_argument, "a?b");
	expect_refused(table, channel(std::string(64, 'x')), std::errc::invalid_argument, "63");
	expect_refused(table, channel("x", 4095), std::errc::invalid_argument, "4K to 1G");
	expect_refused(table, channel("x", 12288), std::errc::invalid_argument, "power of two");
	expect_refused(table, channel("x", std::uint64_t{1} << 31), std::errc::invalid_argument, "1G");
	expect_refused(table, block("x", 100), std::errc::invalid_argument, "4096");
	expect_refused(table, block("x", 0), std::errc::invalid_argument, "4096");
	expect_refused(table, channel("x", 1 << 20), std::errc::no_space_on_device, "free");
	expect_refused(table, block("x", UINT64_MAX & ~std::uint64_t{4095}), std::errc::no_space_on_device, "free");

	slot_spec same = channel("x");

	same.side = {7, 7};
	expect_refused(table, same, std::errc::invalid_argument, "7");
	same.side = {70000, 7};
	expect_refused(table, same, std::errc::invalid_argument, "65535");

	table.add(channel(std::string(63, 'x')));
	table.add(channel("one"));
	expect_refused(table, channel("one"), std::errc::file_exists, "one");
	table.add(channel("two"));
	expect_refused(table, channel("three"), std::errc::no_space_on_device, "3 slots");
	EXPECT_THROW(table.remove("four"), std::system_error);
	expect_valid();
}

TEST_F(manager_test, thousand_changes_never_overlap_nor_repeat_an_id)
{
	manager table = manager::format(memory_.bytes(), {32, true});
	std::mt19937 random{42};	// NOLINT(cert-msc32-c,cert-msc51-cpp): the same in each run
	std::set<std::uint64_t> ids;
	std::vector<std::string> names;

	for (int i = 0; i < 1000; ++i) {
		if (names.size() > 20 || (!names.empty() && random() % 3 == 0)) {
			const std::size_t victim = random() % names.size();

			table.remove(names[victim]);
			names.erase(names.begin() + static_cast<std::ptrdiff_t>(victim));
		} else {
			const std::string name = "slot" + std::to_string(i);
			const std::uint64_t size = std::uint64_t{4096} << random() % 5;

			try {
				const std::uint32_t slot = table.add(random() % 2 ? channel(name, size) : block(name, size));

				EXPECT_TRUE(ids.insert(table.slots()[slot].id).second) << "an id came back";
				names.push_back(name);
			} catch (const std::system_error &full) {
				EXPECT_EQ(full.code(), std::errc::no_space_on_device);
			}
		}
		expect_valid();
		if (HasFailure())
			return;
	}
	EXPECT_GT(ids.size(), 200U);
	while (!names.empty()) {
		table.remove(names.back());
		names.pop_back();
	}
	EXPECT_EQ(table.layout().free_bytes(), table.layout().largest_free());
}

TEST_F(manager_test, control_pages_are_zero_when_used_again)
{
	manager table = manager::format(memory_.bytes(), {4, true});

	/* Fills the region, so that freed space has to be used again. */
	table.add(block("filler", table.layout().largest_free() - 10 * 4096));
	table.add(channel("old"));
	const kvmchan_slot before = table.slots()[1];

	std::memset(memory_.bytes().data() + before.control, 0xff, sizeof(kvmchan_control));
	table.remove("old");
	const std::uint32_t slot = table.add(channel("new"));
	const kvmchan_slot &after = table.slots()[slot];

	for (std::uint64_t i = 0; i < sizeof(kvmchan_control); ++i)
		ASSERT_EQ(memory_.bytes()[after.control + i], std::byte{0}) << "at " << i;
}

/* A peer that has not heard yet may still write there. */
TEST_F(manager_test, freed_space_is_used_last)
{
	manager table = manager::format(memory_.bytes(), {0, true});
	const kvmchan_slot old = table.slots()[table.add(channel("old"))];

	table.remove("old");
	const kvmchan_slot next = table.slots()[table.add(channel("next"))];

	EXPECT_GE(next.control, old.data[1] + old.data_size[1]);
	EXPECT_GT(next.id, old.id);
}

TEST_F(manager_test, adopt_keeps_table_and_sessions)
{
	manager first = manager::format(memory_.bytes());

	first.add(channel("one"));
	first.add(block("two", 65536));
	first.add(channel("gone"));
	first.announce(true);
	const std::uint64_t gone = first.slots()[2].id;

	first.remove("gone");
	auto *const control =
		reinterpret_cast<kvmchan_control *>(memory_.bytes().data() + first.slots()[0].control);

	control->side[0].session.link = 5 | KVMCHAN_LINK_OPEN;
	manager second = manager::adopt(memory_.bytes());

	expect_valid();
	EXPECT_EQ(superblock().manager, 0U) << "a dead manager still announces itself";
	EXPECT_EQ(second.dropped(), 0U);
	EXPECT_EQ(second.find("one"), 0U);
	EXPECT_EQ(second.find("two"), 1U);
	EXPECT_EQ(control->side[0].session.link, 5 | KVMCHAN_LINK_OPEN);
	EXPECT_TRUE(std::equal(first.incarnation().begin(), first.incarnation().end(), second.incarnation().begin()));
	EXPECT_GT(second.slots()[second.add(channel("three"))].id, gone) << "the id of a removed slot came back";
	expect_valid();
}

TEST_F(manager_test, adopt_mends_a_half_written_table)
{
	manager first = manager::format(memory_.bytes());

	first.add(channel("one"));
	first.add(channel("two"));
	auto *const sb = reinterpret_cast<kvmchan_superblock *>(memory_.bytes().data());

	sb->generation |= 1;
	table()[1].control = table()[0].control;	/* overlaps: both are gone */
	const manager second = manager::adopt(memory_.bytes());

	EXPECT_EQ(second.dropped(), 2U);
	expect_valid();
	EXPECT_EQ(table()[0].kind, KVMCHAN_KIND_FREE);
}

TEST_F(manager_test, a_change_mends_what_peers_wrote)
{
	manager only = manager::format(memory_.bytes(), {16, false});

	only.add(channel("one"));
	const std::span<std::byte> head = memory_.bytes().first(KVMCHAN_PAGE_SIZE + kvmchan_table_bytes(16));
	const std::vector<std::byte> before{head.begin(), head.end()};

	std::ranges::fill(head, std::byte{0x5a});
	only.announce(false);
	auto *const sb = reinterpret_cast<kvmchan_superblock *>(memory_.bytes().data());

	EXPECT_NE(sb->generation, reinterpret_cast<const kvmchan_superblock *>(before.data())->generation);
	sb->generation = reinterpret_cast<const kvmchan_superblock *>(before.data())->generation;
	EXPECT_TRUE(std::ranges::equal(head, before));
}

/* Whoever read a peer's table under the number that would come next still sees the change. */
TEST_F(manager_test, the_next_generation_cannot_be_foretold)
{
	manager only = manager::format(memory_.bytes());

	only.add(channel("one"));
	const auto names = [reader = region::adopt(memory_.fd())] {
		std::vector<std::string> all;

		for (const kvmchan_slot_info &slot : reader.slots())
			all.emplace_back(slot.name);
		return all;
	};
	auto *const sb = reinterpret_cast<kvmchan_superblock *>(memory_.bytes().data());

	EXPECT_THAT(names(), ::testing::ElementsAre("one"));
	sb->generation += 2;
	table()[0].name[0] = 'x';
	EXPECT_THAT(names(), ::testing::ElementsAre("xne"));
	only.add(channel("two"));
	EXPECT_THAT(names(), ::testing::ElementsAre("one", "two"));
}

TEST_F(manager_test, adopt_refuses_what_is_no_region)
{
	EXPECT_THROW(manager::adopt(memory_.bytes()), std::system_error);
	EXPECT_FALSE(manager::is_formatted(memory_.bytes()));
	manager::format(memory_.bytes());
	EXPECT_THROW(manager::adopt(memory_.bytes().first(memory_.size() / 2)), std::system_error);
}

TEST_F(manager_test, adopt_survives_any_table)
{
	std::mt19937_64 random{7};	// NOLINT(cert-msc32-c,cert-msc51-cpp): the same in each run

	for (int round = 0; round < 300; ++round) {
		manager first = manager::format(memory_.bytes(), {16, false});

		for (int i = 0; i < 8; ++i)
			first.add(channel("slot" + std::to_string(i)));
		auto *const words = reinterpret_cast<std::uint64_t *>(table().data());
		const std::size_t count = table().size_bytes() / sizeof(std::uint64_t);

		for (int hits = 0; hits < 20; ++hits)
			words[random() % count] = random() % 2 ? random() : random() % memory_.size();
		manager second = manager::adopt(memory_.bytes());

		expect_valid();
		try {
			second.add(channel("fresh"));
		} catch (const std::system_error &refusal) {
			EXPECT_TRUE(refusal.code() == std::errc::no_space_on_device) << refusal.what();
		}
		expect_valid();
		if (HasFailure())
			return;
	}
}

/* A reader that follows the seqlock never sees a half of a change. */
TEST_F(manager_test, snapshots_are_whole)
{
	manager table = manager::format(memory_.bytes(), {8, true});
	std::atomic<bool> stop{false};
	std::atomic<std::uint64_t> taken{0}, torn{0};
	auto *const base = reinterpret_cast<const __le64 *>(memory_.bytes().data());
	const std::size_t generation = offsetof(kvmchan_superblock, generation) / 8;
	const std::size_t first_slot = superblock().table_offset / 8;

	std::thread reader{[&] {
		while (!stop) {
			const std::uint64_t before = kvmchan_load_acquire(base + generation);
			kvmchan_slot copy;
			std::array<__u64, sizeof(copy) / 8> words;

			if (before & 1)
				continue;
			for (std::size_t i = 0; i < words.size(); ++i)
				words[i] = kvmchan_load(base + first_slot + i);
			kvmchan_mb();
			if (kvmchan_load(base + generation) != before)
				continue;
			std::memcpy(&copy, words.data(), sizeof(copy));
			++taken;
			/* Name and size tell the same of each slot that was ever there. */
			if (copy.kind != KVMCHAN_KIND_FREE && (copy.name[0] == 'a') != (copy.data_size[0] == 4096))
				++torn;
			if (copy.kind == KVMCHAN_KIND_FREE && copy.name[0])
				++torn;
		}
	}};

	for (int i = 0; i < 100'000 || (taken < 1000 && i < 1'000'000); ++i) {
		const std::string name = i % 2 ? "a" : "b";

		table.add(channel(name, i % 2 ? 4096 : 8192));
		table.remove(name);
	}
	stop = true;
	reader.join();
	EXPECT_GT(taken, 0U);
	EXPECT_EQ(torn, 0U);
}

} // namespace
} // namespace kvmchan
