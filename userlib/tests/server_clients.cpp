// SPDX-License-Identifier: MIT
// Clients in numbers, and clients that misbehave.
#include "server_fixture.hpp"

#include <sys/resource.h>

#include "daemon.hpp"
#include "ivshmem_client.hpp"
#include "ivshmem_raw_client.hpp"

namespace kvmchan::testing {
namespace {

using server_clients = server_test;

/* 150 peers of 32 vectors: 4800 eventfds on the server, 4800 in each of a few. */
TEST_F(server_clients, hundred_and_fifty_peers_of_32_vectors)
{
	constexpr std::size_t peers = 150, vectors = 32;
	rlimit limit{};

	raise_descriptor_limit();
	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 18'000)
		GTEST_SKIP() << "needs 18000 descriptors, has " << limit.rlim_cur;
	region_.vectors = vectors;
	start();

	/* Most keep nothing of what they get: 150 * 4800 would be too many here. */
	std::vector<raw_client> crowd;
	std::vector<ivshmem_client> whole;
	ivshmem_client_options options;

	options.vectors = vectors;
	whole.push_back(ivshmem_client::connect(region_.socket, patience, options));
	for (std::size_t i = 1; i + 1 < peers; ++i) {
		std::error_code ec;

		crowd.emplace_back(region_.socket);
		ASSERT_TRUE(eventually([&] {
			whole[0].pump(nullptr, ec);
			return ec || whole[0].peers().size() == i;
		}));
		ASSERT_FALSE(ec) << ec.message();
	}
	whole.push_back(ivshmem_client::connect(region_.socket, patience, options));

	std::error_code ec;

	ASSERT_TRUE(eventually([&] {
		whole[0].pump(nullptr, ec);
		return ec || (whole[0].peers().size() == peers - 1 && whole[0].vectors(peers - 1) == vectors);
	}));
	ASSERT_FALSE(ec) << ec.message();
	EXPECT_EQ(whole[1].peers().size(), peers - 1);
	EXPECT_EQ(whole[1].id(), peers - 1);
	for (const std::uint16_t id : whole[1].peers())
		ASSERT_EQ(whole[1].vectors(id), vectors) << "peer " << id;
	for (std::size_t v = 0; v < vectors; ++v) {
		ASSERT_TRUE(whole[1].ring(0, v));
		pollfd entry{whole[0].vector_fd(v), POLLIN, 0};

		ASSERT_EQ(::poll(&entry, 1, 0), 1) << "vector " << v << " is another's";
	}
}

TEST_F(server_clients, one_that_never_reads_is_dropped_and_hurts_nobody)
{
	region_.vectors = 64;
	region_.client_deadline = 300ms;
	start();
	ivshmem_client honest = ivshmem_client::connect(region_.socket, patience);
	raw_client lazy{region_.socket};
	std::error_code ec;

	/* Joins and departures until far more waits for it than a socket holds. */
	for (int i = 0; i < 30; ++i) {
		const ivshmem_client visitor = ivshmem_client::connect(region_.socket, patience);

		ASSERT_TRUE(visitor.complete());
		honest.pump(nullptr, ec);
		ASSERT_FALSE(ec) << ec.message();
	}
	ASSERT_TRUE(eventually([&] {
		honest.pump(nullptr, ec);
		return connected() == 1;
	})) << "it is still there";
	EXPECT_TRUE(lazy.ended());
	ASSERT_TRUE(eventually([&] {
		honest.pump(nullptr, ec);
		return ec || honest.peers().empty();
	}));
	EXPECT_FALSE(ec) << ec.message();
}

TEST_F(server_clients, slow_reader_gets_every_message_in_order)
{
	region_.vectors = 16;
	start();
	raw_client slow{region_.socket};

	ASSERT_EQ(slow.take(3 + 16).size(), 19U);
	std::vector<std::int64_t> wanted;

	for (std::int64_t id = 1; id <= 40; ++id) {
		auto visitor = ivshmem_client::connect(region_.socket, patience);

		ASSERT_EQ(visitor.id(), id);
		visitor = {};
		wanted.insert(wanted.end(), 16, id);
		wanted.push_back(id);
		ASSERT_TRUE(eventually([&] { return connected() == 1; }));
	}
	/* 680 messages, where a socket holds 278. */
	const auto got = slow.take(wanted.size());

	ASSERT_EQ(got.size(), wanted.size());
	for (std::size_t i = 0; i < got.size(); ++i) {
		ASSERT_EQ(got[i].value(), wanted[i]) << "message " << i;
		ASSERT_EQ(got[i].fd >= 0, i % 17 != 16) << "message " << i;
	}
}

TEST_F(server_clients, thousand_that_connect_and_close_leave_nothing)
{
	start();
	for (int i = 0; i < 10; ++i)
		raw_client{region_.socket}.close();
	ASSERT_TRUE(eventually([&] { return connected() == 0; }));
	const std::size_t before = open_descriptors();

	for (int i = 0; i < 1000; ++i)
		raw_client{region_.socket}.close();
	ASSERT_TRUE(eventually([&] { return connected() == 0; }));
	EXPECT_TRUE(eventually([&] { return open_descriptors() <= before + 1; }))
		<< before << " descriptors before, " << open_descriptors() << " now";
	raw_client client{region_.socket};

	EXPECT_EQ(client.take(5).size(), 5U);
}

TEST_F(server_clients, bytes_from_a_client_end_it)
{
	start();
	ivshmem_client honest = ivshmem_client::connect(region_.socket, patience);
	raw_client chatty{region_.socket};

	ASSERT_TRUE(chatty.send("x", 1));
	EXPECT_TRUE(chatty.ended());
	EXPECT_TRUE(eventually([&] { return connected() == 1; }));
	EXPECT_TRUE(honest.ring(honest.id(), 0));
}

TEST_F(server_clients, more_than_the_limit_are_refused)
{
	region_.max_clients = 2;
	start();
	raw_client first{region_.socket};
	ASSERT_EQ(first.take(5).size(), 5U);
	auto second = std::make_unique<raw_client>(region_.socket);
	ASSERT_EQ(second->take(7).size(), 7U);
	raw_client third{region_.socket};

	EXPECT_TRUE(third.ended());
	second.reset();
	ASSERT_TRUE(eventually([&] { return connected() == 1; }));
	raw_client fourth{region_.socket};

	EXPECT_EQ(fourth.take(7).size(), 7U);
}

TEST_F(server_clients, running_out_of_descriptors_ends_nobody)
{
#if defined(KVMCHAN_SANITIZE_ADDRESS) && !defined(__clang__)
	GTEST_SKIP() << "UBSan's check of virtual tables by gcc opens a pipe, and fails without";
#endif
	rlimit before{}, low{};

	region_.vectors = 8;
	start();
	ivshmem_client honest = ivshmem_client::connect(region_.socket, patience);

	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;

	std::vector<raw_client> waiting;

	waiting.emplace_back(region_.socket);
	ASSERT_TRUE(eventually([&] { return connected() == 2; }));
	/* Its 8 eventfds do not fit; or accept() itself runs out. */
	low.rlim_cur = open_descriptors() + 3;
	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
	waiting.emplace_back(region_.socket);
	const bool refused = waiting.back().ended(2000);

	ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
	EXPECT_TRUE(refused || eventually([&] { return connected() == 3; }));
	EXPECT_TRUE(eventually([&] {
		raw_client again{region_.socket};
		return again.take(3).size() == 3;
	}));
	EXPECT_FALSE(honest.closed());
}

TEST_F(server_clients, control_socket_survives_nonsense)
{
	start();
	for (const std::string line : {"", "{", "[]", "17", R"({"cmd":17})", R"({"cmd":"ring","peer":-1})",
	                               R"({"cmd":"add","name":"a","size":[1,2,3]})", "\xff\xfe"}) {
		raw_client client{control_path(region_.socket)};

		ASSERT_TRUE(client.send((line + "\n").data(), line.size() + 1));
		char reply[4096] = {};
		pollfd entry{client.fd(), POLLIN, 0};

		ASSERT_EQ(::poll(&entry, 1, 30'000), 1);
		ASSERT_GT(::recv(client.fd(), reply, sizeof(reply) - 1, 0), 0);
		EXPECT_NE(std::string{reply}.find(R"("ok":false)"), std::string::npos) << line << reply;
	}
	raw_client endless{control_path(region_.socket)};
	const std::string chunk(65536, 'x');

	endless.send(chunk.data(), chunk.size());
	endless.send(chunk.data(), chunk.size());
	char reply[4096];
	while (::recv(endless.fd(), reply, sizeof(reply), 0) > 0)
		continue;
	EXPECT_TRUE(ask({{"cmd", "status"}}).at("ok").get<bool>());
}

} // namespace
} // namespace kvmchan::testing
