// SPDX-License-Identifier: MIT
// What an ivshmem client gets from our server, to the byte.
#include "server_fixture.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include "ivshmem_raw_client.hpp"

namespace kvmchan::testing {
namespace {

std::uint64_t inode(int fd)
{
	struct stat st {};

	EXPECT_EQ(::fstat(fd, &st), 0);
	return st.st_ino;
}

bool is_eventfd(int fd)
{
	char target[64] = {};
	const std::string path = "/proc/self/fd/" + std::to_string(fd);

	return ::readlink(path.c_str(), target, sizeof(target) - 1) > 0 &&
	       std::string{target} == "anon_inode:[eventfd]";
}

void expect_bytes(const raw_message &message, std::initializer_list<unsigned char> bytes)
{
	EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), message.bytes)) << "value " << message.value();
}

std::uint64_t count_of(int fd)
{
	std::uint64_t count = 0;
	pollfd entry{fd, POLLIN, 0};

	if (::poll(&entry, 1, 0) == 1 && ::read(fd, &count, sizeof(count)) == sizeof(count))
		return count;
	return 0;
}

using server_protocol = server_test;

TEST_F(server_protocol, first_burst_byte_for_byte)
{
	start();
	raw_client client{region_.socket};
	const auto burst = client.take(5);

	ASSERT_EQ(burst.size(), 5U);
	expect_bytes(burst[0], {0, 0, 0, 0, 0, 0, 0, 0});
	EXPECT_EQ(burst[0].fd, -1);
	expect_bytes(burst[1], {0, 0, 0, 0, 0, 0, 0, 0});
	EXPECT_EQ(burst[1].fd, -1);
	expect_bytes(burst[2], {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
	ASSERT_GE(burst[2].fd, 0);
	expect_bytes(burst[3], {0, 0, 0, 0, 0, 0, 0, 0});
	EXPECT_TRUE(is_eventfd(burst[3].fd));
	expect_bytes(burst[4], {0, 0, 0, 0, 0, 0, 0, 0});
	EXPECT_TRUE(is_eventfd(burst[4].fd));
	EXPECT_FALSE(client.next(50)) << "more than the burst came";
}

TEST_F(server_protocol, ids_are_little_endian)
{
	region_.vms = {vm("far", 0x1234)};
	start();
	raw_client client{vm_socket("far")};
	const auto burst = client.take(3);

	ASSERT_EQ(burst.size(), 3U);
	expect_bytes(burst[1], {0x34, 0x12, 0, 0, 0, 0, 0, 0});
}

TEST_F(server_protocol, memory_is_sealed_and_of_the_size)
{
	start();
	raw_client client{region_.socket};
	const auto burst = client.take(3);
	struct stat st {};

	ASSERT_EQ(burst.size(), 3U);
	ASSERT_EQ(::fstat(burst[2].fd, &st), 0);
	EXPECT_EQ(st.st_size, 1 << 20);
	EXPECT_LT(::ftruncate(burst[2].fd, 0), 0) << "a client can make the others fault";
	EXPECT_LT(::ftruncate(burst[2].fd, 2 << 20), 0);
}

TEST_F(server_protocol, memory_holds_a_valid_table)
{
	region_.slots = {channel("one"), channel("two")};
	start();
	raw_client client{region_.socket};
	const auto burst = client.take(3);

	ASSERT_EQ(burst.size(), 3U);
	void *const at = ::mmap(nullptr, 1 << 20, PROT_READ, MAP_SHARED, burst[2].fd, 0);

	ASSERT_NE(at, MAP_FAILED);
	const auto *sb = static_cast<const kvmchan_superblock *>(at);

	EXPECT_EQ(kvmchan_superblock_check(sb, 1 << 20), nullptr);
	EXPECT_EQ(sb->manager, KVMCHAN_BELL_RINGS);
	const auto *slots =
		reinterpret_cast<const kvmchan_slot *>(static_cast<const std::byte *>(at) + sb->table_offset);

	EXPECT_STREQ(slots[0].name, "one");
	EXPECT_STREQ(slots[1].name, "two");
	EXPECT_EQ(slots[1].side[0], KVMCHAN_PEER_HOST);
	EXPECT_EQ(slots[1].side[1], KVMCHAN_PEER_ANY);
	::munmap(at, 1 << 20);
}

TEST_F(server_protocol, join_and_leave_are_told_in_order)
{
	start();
	raw_client first{region_.socket};

	ASSERT_EQ(first.take(5).size(), 5U);
	raw_client second{region_.socket};
	const auto burst = second.take(7);

	ASSERT_EQ(burst.size(), 7U);
	EXPECT_EQ(burst[1].value(), 1);
	EXPECT_EQ(burst[3].value(), 0);
	EXPECT_EQ(burst[4].value(), 0);
	EXPECT_EQ(burst[5].value(), 1);
	EXPECT_EQ(burst[6].value(), 1);

	const auto joined = first.take(2);

	ASSERT_EQ(joined.size(), 2U);
	EXPECT_EQ(joined[0].value(), 1);
	EXPECT_TRUE(is_eventfd(joined[0].fd));
	EXPECT_TRUE(is_eventfd(joined[1].fd));

	second.close();
	const auto left = first.take(1);

	ASSERT_EQ(left.size(), 1U);
	EXPECT_EQ(left[0].value(), 1);
	EXPECT_EQ(left[0].fd, -1);
}

TEST_F(server_protocol, vectors_reach_their_owner)
{
	start();
	raw_client first{region_.socket};
	const auto own = first.take(5);
	raw_client second{region_.socket};
	const auto burst = second.take(7);
	const std::uint64_t one = 1;

	ASSERT_EQ(own.size() + burst.size(), 12U);
	ASSERT_EQ(::write(burst[4].fd, &one, sizeof(one)), 8);
	EXPECT_EQ(count_of(own[3].fd), 0U) << "vector 0 rang";
	EXPECT_EQ(count_of(own[4].fd), 1U) << "vector 1 did not ring";
	EXPECT_EQ(inode(burst[2].fd), inode(own[2].fd)) << "two memories";
}

TEST_F(server_protocol, ids_are_not_used_again_soon)
{
	region_.vectors = 1;
	start();
	for (std::int64_t id = 0; id < 20; ++id) {
		raw_client client{region_.socket};
		const auto burst = client.take(4);

		ASSERT_EQ(burst.size(), 4U);
		EXPECT_EQ(burst[1].value(), id);
		client.close();
		ASSERT_TRUE(eventually([&] { return connected() == 0; }));
	}
}

TEST_F(server_protocol, table_change_rings_vector_0)
{
	region_.slots = {channel("one")};
	start();
	raw_client client{region_.socket};
	const auto burst = client.take(5);

	ASSERT_EQ(burst.size(), 5U);
	ask({{"cmd", "add"}, {"name", "two"}, {"size", "4K"}});
	EXPECT_EQ(count_of(burst[3].fd), 1U);
	EXPECT_EQ(count_of(burst[4].fd), 0U);
	ask({{"cmd", "remove"}, {"name", "one"}});
	EXPECT_EQ(count_of(burst[3].fd), 1U);
	ask({{"cmd", "ring"}, {"peer", 0}, {"vector", 1}});
	EXPECT_EQ(count_of(burst[4].fd), 1U);
	EXPECT_THROW(ask({{"cmd", "ring"}, {"peer", 0}, {"vector", 2}}), std::system_error);
	EXPECT_THROW(ask({{"cmd", "ring"}, {"peer", 7}, {"vector", 0}}), std::system_error);
}

/* ---- VMs with sockets of their own ---- */

TEST_F(server_protocol, vm_comes_back_with_id_and_eventfds)
{
	region_.vms = {vm("web", 5)};
	start();
	raw_client watcher{region_.socket};
	const auto seen = watcher.take(7);	/* version, 0, memory, 2 of VM 5, 2 own */

	ASSERT_EQ(seen.size(), 7U);
	EXPECT_EQ(seen[3].value(), 5);
	for (int life = 0; life < 3; ++life) {
		raw_client qemu{vm_socket("web")};
		const auto burst = qemu.take(7);
		const std::uint64_t one = 1;

		ASSERT_EQ(burst.size(), 7U);
		EXPECT_EQ(burst[1].value(), 5);
		EXPECT_EQ(burst[6].value(), 5);
		EXPECT_EQ(count_of(burst[6].fd), 0U) << "an old ring was left";
		ASSERT_EQ(::write(seen[4].fd, &one, sizeof(one)), 8);
		EXPECT_EQ(count_of(burst[6].fd), 1U) << "not the eventfd that others know";
		ASSERT_EQ(::write(seen[4].fd, &one, sizeof(one)), 8);
	}
	EXPECT_FALSE(watcher.next(100)) << "clients were told of a VM that never leaves";
}

TEST_F(server_protocol, vm_is_not_told_that_anybody_left)
{
	region_.vms = {vm("web", 1)};
	start();
	raw_client qemu{vm_socket("web")};

	ASSERT_EQ(qemu.take(5).size(), 5U);
	for (int i = 0; i < 5; ++i) {
		raw_client process{region_.socket};
		const auto burst = process.take(7);

		ASSERT_EQ(burst.size(), 7U);
		EXPECT_EQ(burst[1].value(), 0) << "the peer that was kept was not used";
		process.close();
		ASSERT_TRUE(eventually([&] { return connected() == 1; }));
	}
	const auto told = qemu.take(2);

	ASSERT_EQ(told.size(), 2U);
	EXPECT_EQ(told[0].value(), 0);
	EXPECT_GE(told[0].fd, 0);
	EXPECT_FALSE(qemu.next(100)) << "a VM was told more than that a peer is new";
}

TEST_F(server_protocol, vm_that_comes_later_knows_the_kept_peers)
{
	region_.vms = {vm("web", 1)};
	start();
	{
		raw_client process{region_.socket};

		ASSERT_EQ(process.take(7).size(), 7U);
	}
	ASSERT_TRUE(eventually([&] { return connected() == 0; }));

	raw_client qemu{vm_socket("web")};
	const auto burst = qemu.take(7);

	ASSERT_EQ(burst.size(), 7U);
	EXPECT_EQ(burst[3].value(), 0);

	raw_client again{region_.socket};
	const auto own = again.take(7);
	const std::uint64_t one = 1;

	ASSERT_EQ(own.size(), 7U);
	EXPECT_EQ(own[1].value(), 0);
	ASSERT_EQ(::write(burst[4].fd, &one, sizeof(one)), 8);
	EXPECT_EQ(count_of(own[6].fd), 1U);
}

TEST_F(server_protocol, second_qemu_on_a_vm_socket_is_refused)
{
	region_.vms = {vm("web", 1)};
	start();
	raw_client first{vm_socket("web")};

	ASSERT_EQ(first.take(5).size(), 5U);
	raw_client second{vm_socket("web")};

	EXPECT_TRUE(second.ended());
	EXPECT_FALSE(first.next(50));
}

TEST_F(server_protocol, vm_that_reconnects_at_once_is_let_in)
{
	region_.vms = {vm("web", 1)};
	start();
	auto first = std::make_unique<raw_client>(vm_socket("web"));

	for (int i = 0; i < 200; ++i) {
		ASSERT_EQ(first->take(5).size(), 5U) << "at round " << i;
		first->close();
		first = std::make_unique<raw_client>(vm_socket("web"));
	}
}

} // namespace
} // namespace kvmchan::testing
