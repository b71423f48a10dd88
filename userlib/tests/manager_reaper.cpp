// SPDX-License-Identifier: MIT
// Who is declared dead, and who is not.
#include "manager_reaper.hpp"

#include <gtest/gtest.h>

#include "memory.hpp"
#include "side_lock.hpp"

namespace kvmchan {
namespace {

class reaper_test : public ::testing::Test {
protected:
	std::uint32_t add(const std::string &name, std::uint32_t side0, std::uint32_t side1)
	{
		slot_spec spec;

		spec.name = name;
		spec.side = {side0, side1};
		spec.size = {4096, 4096};
		return table_.add(spec);
	}

	/* Epochs are counted from here: none is reaped from the start. */
	static constexpr std::uint64_t first = first_epochs_before + 1;

	void open(std::uint32_t slot, unsigned side, std::uint64_t epoch, std::uint64_t bell)
	{
		page(slot, side).bell = bell;
		page(slot, side).link = (first + epoch) | KVMCHAN_LINK_OPEN;
	}

	void close(std::uint32_t slot, unsigned side, std::uint64_t epoch) { page(slot, side).link = first + epoch; }

	kvmchan_session_page &page(std::uint32_t slot, unsigned side)
	{
		return reinterpret_cast<kvmchan_control *>(memory_.bytes().data() + table_.slots()[slot].control)
			->side[side]
			.session;
	}

	/* As a peer reads it; 0: none of these. */
	std::uint64_t reaped(std::uint32_t slot, unsigned side)
	{
		const auto *const table = reinterpret_cast<const kvmchan_slot *>(memory_.bytes().data() + KVMCHAN_PAGE_SIZE);
		const std::uint64_t epoch = table[slot].reaped[side];

		return epoch < first ? 0 : epoch - first;
	}

	static std::uint64_t at(std::uint64_t peer, std::uint64_t vector)
	{
		return vector | peer << KVMCHAN_BELL_PEER_SHIFT | KVMCHAN_BELL_RINGABLE | KVMCHAN_BELL_RINGS;
	}

	memory memory_ = memory::create_memfd("test", 1 << 20);
	manager table_ = manager::format(memory_.bytes(), {0, true});
	manager_reaper reaper_{table_, memory_.fd()};
};

TEST_F(reaper_test, fixed_side_of_the_peer_that_left)
{
	const auto slot = add("a", 3, 4), other = add("b", 5, 4);

	open(slot, 0, 7, at(3, 1));
	open(slot, 1, 9, at(4, 2));
	open(other, 0, 2, at(5, 1));
	const auto bells = reaper_.peer_left(3);

	EXPECT_EQ(reaped(slot, 0), 7U);
	EXPECT_EQ(reaped(slot, 1), 0U);
	EXPECT_EQ(reaped(other, 0), 0U);
	ASSERT_EQ(bells.size(), 1U);
	EXPECT_EQ(bells[0], (bell_address{4, 2})) << "the survivor is rung at its own bell";
	EXPECT_EQ(reaper_.deaths(), 1U);
	reaper_.peer_left(3);
	EXPECT_EQ(reaper_.deaths(), 1U) << "dead is dead";
}

/* It closed, or took the side over, and died before it rang. */
TEST_F(reaper_test, closed_side_of_the_peer_that_left)
{
	const auto fixed = add("a", 3, 4), anyones = add("b", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	const auto others = add("c", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	open(fixed, 1, 9, at(4, 2));
	close(fixed, 0, 7);
	open(anyones, 0, 5, at(4, 1));
	page(anyones, 1).bell = at(3, 1);
	close(anyones, 1, 7);
	open(others, 0, 5, at(4, 3));
	page(others, 1).bell = at(6, 1);
	close(others, 1, 7);
	const auto bells = reaper_.peer_left(3);

	EXPECT_EQ(bells, (std::vector<bell_address>{{4, 2}, {4, 1}})) << "a survivor sleeps until the side is opened again";
	EXPECT_EQ(reaped(anyones, 1), 0U);
}

TEST_F(reaper_test, fixed_side_that_never_opened)
{
	const auto slot = add("a", 3, 4);

	EXPECT_TRUE(reaper_.peer_left(3).empty());
	EXPECT_EQ(reaped(slot, 0), 0U);
}

TEST_F(reaper_test, anyones_side_only_where_the_bell_names_the_peer)
{
	const auto here = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	const auto elsewhere = add("b", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	const auto closed = add("c", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	open(here, 1, 3, at(6, 0));
	open(elsewhere, 1, 3, at(7, 0));
	open(closed, 1, 3, at(6, 0));
	close(closed, 1, 3);
	reaper_.peer_left(6);
	EXPECT_EQ(reaped(here, 1), 3U);
	EXPECT_EQ(reaped(here, 0), 0U);
	EXPECT_EQ(reaped(elsewhere, 1), 0U);
	EXPECT_EQ(reaped(closed, 1), 0U);
}

/* A guest on ivshmem-plain has no ID: its bell word is 0, and is not peer 0's. */
TEST_F(reaper_test, bell_of_zero_is_not_peer_zero)
{
	const auto slot = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	open(slot, 1, 3, 0);
	reaper_.peer_left(0);
	EXPECT_EQ(reaped(slot, 1), 0U);
}

TEST_F(reaper_test, session_after_the_death_is_not_dead)
{
	const auto slot = add("a", 3, 4);

	table_.reap(slot, 0, first);
	open(slot, 0, KVMCHAN_EPOCH_MASK - first, at(3, 1));
	reaper_.peer_left(3);
	ASSERT_EQ(reaped(slot, 0), KVMCHAN_EPOCH_MASK - first);
	EXPECT_FALSE(kvmchan_epoch_reaped(KVMCHAN_EPOCH_MASK, kvmchan_epoch_next(KVMCHAN_EPOCH_MASK)));
}

TEST_F(reaper_test, reaped_survives_other_changes_of_the_table)
{
	const auto slot = add("a", 3, 4);

	open(slot, 0, 7, at(3, 1));
	reaper_.peer_left(3);
	add("b", 3, 4);
	EXPECT_EQ(reaped(slot, 0), 7U);
}

/* ---- locks ---- */

TEST_F(reaper_test, host_side_without_its_lock_is_dead)
{
	const auto slot = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	std::error_code ec;
	side_lock lock = side_lock::acquire(memory_.fd(), slot, 0, ec);

	ASSERT_FALSE(ec);
	open(slot, 0, 4, 0);
	open(slot, 1, 2, at(1, 5));
	EXPECT_TRUE(reaper_.scan_locks().empty());
	EXPECT_TRUE(reaper_.watching());
	EXPECT_EQ(reaped(slot, 0), 0U);
	lock.release();
	const auto bells = reaper_.scan_locks();

	EXPECT_EQ(reaped(slot, 0), 4U);
	EXPECT_EQ(reaped(slot, 1), 0U) << "a guest has no lock to lose";
	ASSERT_EQ(bells.size(), 1U);
	EXPECT_EQ(bells[0], (bell_address{1, 5}));
	EXPECT_TRUE(reaper_.scan_locks().empty());
	EXPECT_FALSE(reaper_.watching());
}

/* It died before we ever looked, or while no manager ran. */
TEST_F(reaper_test, host_side_whose_lock_was_never_seen)
{
	const auto slot = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	open(slot, 0, 4, 0);
	reaper_.scan_locks();
	EXPECT_EQ(reaped(slot, 0), 4U);
}

TEST_F(reaper_test, host_process_on_an_any_side)
{
	const auto slot = add("a", KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY);
	std::error_code ec;
	side_lock lock = side_lock::acquire(memory_.fd(), slot, 1, ec);

	open(slot, 0, 4, 0);
	open(slot, 1, 8, 0);
	reaper_.scan_locks();
	lock.release();
	reaper_.scan_locks();
	EXPECT_EQ(reaped(slot, 1), 8U);
	EXPECT_EQ(reaped(slot, 0), 0U);
}

TEST_F(reaper_test, guest_that_follows_a_host_process_on_an_any_side_lives)
{
	const auto slot = add("a", KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY);
	std::error_code ec;

	{
		const side_lock lock = side_lock::acquire(memory_.fd(), slot, 1, ec);

		open(slot, 1, 8, 0);
		reaper_.scan_locks();
		close(slot, 1, 8);
	}
	open(slot, 1, 9, at(1, 0));
	reaper_.scan_locks();
	EXPECT_EQ(reaped(slot, 1), 0U);
}

TEST_F(reaper_test, closed_in_order_is_not_dead)
{
	const auto slot = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	close(slot, 0, 4);
	EXPECT_TRUE(reaper_.scan_locks().empty());
	EXPECT_EQ(reaped(slot, 0), 0U);
	EXPECT_FALSE(reaper_.watching());
}

/* It closed, and died before it rang: the lock was seen with the session. */
TEST_F(reaper_test, lock_that_goes_with_a_closed_session)
{
	const auto slot = add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	std::error_code ec;
	side_lock lock = side_lock::acquire(memory_.fd(), slot, 0, ec);

	open(slot, 0, 4, 0);
	open(slot, 1, 2, at(1, 5));
	EXPECT_TRUE(reaper_.scan_locks().empty());
	close(slot, 0, 4);
	EXPECT_TRUE(reaper_.scan_locks().empty()) << "it is not dead yet, and will ring";
	EXPECT_TRUE(reaper_.watching());
	lock.release();
	EXPECT_EQ(reaper_.scan_locks(), (std::vector<bell_address>{{1, 5}}));
	EXPECT_EQ(reaped(slot, 0), 0U);
	EXPECT_TRUE(reaper_.scan_locks().empty()) << "once is enough";
	EXPECT_FALSE(reaper_.watching());
}

/* It took the side over from a dead one and died, all between two scans. */
TEST_F(reaper_test, closed_word_that_is_new)
{
	const auto slot = add("a", KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY);

	open(slot, 0, 2, at(1, 5));
	open(slot, 1, 4, 0);
	reaper_.scan_locks();
	close(slot, 1, 5);
	EXPECT_EQ(reaper_.scan_locks(), (std::vector<bell_address>{{1, 5}}));
	EXPECT_TRUE(reaper_.scan_locks().empty());
	close(slot, 1, 6);
	EXPECT_EQ(reaper_.scan_locks(), (std::vector<bell_address>{{1, 5}}));
	EXPECT_EQ(reaped(slot, 1), 0U);
}

TEST_F(reaper_test, closed_word_of_a_slot_that_follows_another)
{
	add("a", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);
	close(0, 0, 4);
	reaper_.scan_locks();
	table_.remove("a");

	const auto slot = add("b", KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY);

	ASSERT_EQ(slot, 0U);
	open(slot, 1, 2, at(1, 5));
	close(slot, 0, 4);
	EXPECT_EQ(reaper_.scan_locks(), (std::vector<bell_address>{{1, 5}}));
}

} // namespace
} // namespace kvmchan
