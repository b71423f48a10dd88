// SPDX-License-Identifier: MIT
// Death without a close, from the socket or the lock to the survivor's bell.
#include "server_fixture.hpp"

#include <csignal>

#include <fcntl.h>

#include <sys/wait.h>

#include "doorbell.hpp"
#include "ivshmem_client.hpp"
#include "manager.hpp"
#include "memory.hpp"
#include "side_lock.hpp"

namespace kvmchan::testing {
namespace {

/* One client's view of the region. */
class side_of_test {
public:
	explicit side_of_test(const std::filesystem::path &socket)
		: client_{ivshmem_client::connect(socket, patience, {.vectors = 4})}, memory_{memory::adopt(client_.take_memory())}
	{
	}

	void open(std::uint32_t slot, unsigned side, std::uint64_t epoch, std::uint64_t vector)
	{
		page(slot, side).bell =
			vector | std::uint64_t{client_.id()} << KVMCHAN_BELL_PEER_SHIFT | KVMCHAN_BELL_RINGABLE;
		kvmchan_store_release(&page(slot, side).link, (first + epoch) | KVMCHAN_LINK_OPEN);
	}

	/* 0: no session that open() began. */
	std::uint64_t reaped(std::uint32_t slot, unsigned side)
	{
		auto *const table = reinterpret_cast<const kvmchan_slot *>(memory_.bytes().data() + KVMCHAN_PAGE_SIZE);
		const std::uint64_t epoch = kvmchan_load_acquire(&table[slot].reaped[side]);

		return epoch < first ? 0 : epoch - first;
	}

	void close(std::uint32_t slot, unsigned side)
	{
		kvmchan_store_release(&page(slot, side).link, page(slot, side).link & ~KVMCHAN_LINK_OPEN);
	}

	bool rung(std::size_t vector) { return drain_doorbell(client_.vector_fd(vector)); }
	std::uint16_t id() const { return client_.id(); }
	int memory_fd() const { return memory_.fd(); }
	void leave() { client_ = {}; }

private:
	/* Epochs are counted from here: none is reaped from the start. */
	static constexpr std::uint64_t first = first_epochs_before + 1;

	kvmchan_session_page &page(std::uint32_t slot, unsigned side)
	{
		auto *const table = reinterpret_cast<const kvmchan_slot *>(memory_.bytes().data() + KVMCHAN_PAGE_SIZE);

		return reinterpret_cast<kvmchan_control *>(memory_.bytes().data() + table[slot].control)->side[side].session;
	}

	ivshmem_client client_;
	memory memory_;
};

class server_reaping : public server_test {
protected:
	server_reaping() { region_.vectors = 4; }

	/* A process that locks, opens the side and waits to be killed. */
	pid_t start_holder(int memory_fd, std::uint32_t slot, unsigned side)
	{
		int ends[2];

		EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
		const pid_t child = ::fork();

		if (child == 0) {
			std::error_code ec;
			const side_lock lock = side_lock::acquire(memory_fd, slot, side, ec);

			if (ec || !lock || ::write(ends[1], "x", 1) != 1)
				::_exit(1);
			for (;;)
				::pause();
		}
		char byte = 0;

		EXPECT_EQ(::read(ends[0], &byte, 1), 1);
		::close(ends[0]);
		::close(ends[1]);
		return child;
	}
};

TEST_F(server_reaping, client_that_leaves)
{
	region_.slots = {channel("a", "any", "any")};
	start();
	side_of_test survivor{region_.socket}, dying{region_.socket};

	survivor.open(0, 0, 5, 3);
	dying.open(0, 1, 9, 1);
	dying.leave();
	EXPECT_TRUE(eventually([&] { return survivor.reaped(0, 1) == 9; }));
	EXPECT_TRUE(eventually([&] { return survivor.rung(3); })) << "the survivor sleeps for ever";
	EXPECT_EQ(survivor.reaped(0, 0), 0U);
	EXPECT_FALSE(survivor.rung(1));
}

/* It closes and dies before it rings. */
TEST_F(server_reaping, client_that_leaves_closed)
{
	region_.slots = {channel("a", "any", "any")};
	start();
	side_of_test survivor{region_.socket}, dying{region_.socket};

	survivor.open(0, 0, 5, 3);
	dying.open(0, 1, 9, 1);
	dying.close(0, 1);
	dying.leave();
	EXPECT_TRUE(eventually([&] { return survivor.rung(3); })) << "the survivor sleeps for ever";
	EXPECT_EQ(survivor.reaped(0, 1), 0U);
}

TEST_F(server_reaping, host_process_that_is_killed_closed)
{
	region_.slots = {channel("a")};
	start();
	side_of_test guest{region_.socket};
	const pid_t holder = start_holder(guest.memory_fd(), 0, 0);

	guest.open(0, 1, 2, 3);
	guest.open(0, 0, 7, 0);
	guest.close(0, 0);
	std::this_thread::sleep_for(1500ms);
	EXPECT_FALSE(guest.rung(3)) << "for a process that lives";
	::kill(holder, SIGKILL);
	::waitpid(holder, nullptr, 0);
	EXPECT_TRUE(eventually([&] { return guest.rung(3); }));
	EXPECT_EQ(guest.reaped(0, 0), 0U);
}

TEST_F(server_reaping, vm_whose_qemu_dies)
{
	region_.vms = {vm("web", 1), vm("db", 2)};
	region_.slots = {channel("a", "web", "db"), channel("b", "host", "web"), channel("c", "host", "db")};
	start();
	side_of_test web{vm_socket("web")}, db{vm_socket("db")}, host{region_.socket};
	std::error_code ec;
	const side_lock lock_b = side_lock::acquire(host.memory_fd(), 1, 0, ec);
	const side_lock lock_c = side_lock::acquire(host.memory_fd(), 2, 0, ec);

	web.open(0, 0, 1, 1);
	db.open(0, 1, 1, 2);
	host.open(1, 0, 1, 3);
	web.open(1, 1, 6, 1);
	host.open(2, 0, 1, 2);
	db.open(2, 1, 1, 1);
	web.leave();
	EXPECT_TRUE(eventually([&] { return host.reaped(0, 0) == 1 && host.reaped(1, 1) == 6; }));
	EXPECT_TRUE(eventually([&] { return db.rung(2); }));
	EXPECT_TRUE(eventually([&] { return host.rung(3); }));
	EXPECT_EQ(host.reaped(1, 0), 0U);
	EXPECT_EQ(host.reaped(2, 0), 0U);
	EXPECT_EQ(host.reaped(2, 1), 0U);
	EXPECT_FALSE(host.rung(2)) << "somebody else's channel was rung";
}

TEST_F(server_reaping, host_process_that_is_killed)
{
	region_.slots = {channel("a")};
	start();
	side_of_test guest{region_.socket};
	const pid_t holder = start_holder(guest.memory_fd(), 0, 0);

	guest.open(0, 1, 2, 3);
	/* The holder has no connection to the server: only its lock tells. */
	guest.open(0, 0, 7, 0);
	std::this_thread::sleep_for(1500ms);
	EXPECT_EQ(guest.reaped(0, 0), 0U) << "declared dead while it lives";
	::kill(holder, SIGKILL);
	::waitpid(holder, nullptr, 0);
	EXPECT_TRUE(eventually([&] { return guest.reaped(0, 0) == 7; }));
	EXPECT_TRUE(eventually([&] { return guest.rung(3); }));
	EXPECT_EQ(guest.reaped(0, 1), 0U);
}

/* Any bell may stand in the region: it is only looked up. */
TEST_F(server_reaping, absurd_bells_are_borne)
{
	region_.slots = {channel("a", "any", "any")};
	start();
	side_of_test survivor{region_.socket}, dying{region_.socket};

	survivor.open(0, 0, 5, 65535);
	dying.open(0, 1, 9, 1);
	dying.leave();
	EXPECT_TRUE(eventually([&] { return survivor.reaped(0, 1) == 9; }));
	EXPECT_EQ(connected(), 1U);
}

} // namespace
} // namespace kvmchan::testing
