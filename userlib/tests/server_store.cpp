// SPDX-License-Identifier: MIT
// What the service manager's store holds of a server, at whatever moment it dies.
#include "server_successor.hpp"

#include <array>
#include <random>
#include <set>

#include <sys/mman.h>

#include "ivshmem_client.hpp"
#include "ivshmem_raw_client.hpp"

namespace kvmchan::testing {
namespace {

class server_store : public server_handover {
protected:
	/* Puts @p text where each state is. */
	void replace_states(const std::string &text, bool sealed)
	{
		store_->with_entries([&](auto &entries) {
			for (auto &entry : entries) {
				if (!entry.name.starts_with('S'))
					continue;
				entry.fd.reset(::memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING));
				ASSERT_EQ(::write(entry.fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
				if (sealed)
					::fcntl(entry.fd.get(), F_ADD_SEALS,
					        F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
			}
		});
	}

	/* Every descriptor that the store holds is spoken of, and none is there twice. */
	std::size_t stored()
	{
		std::set<std::string> names;

		status();
		store_->with_entries([&](const auto &entries) {
			for (const auto &entry : entries)
				EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
		});
		return names.size();
	}

	std::string state_text()
	{
		std::string newest;
		std::uint64_t sequence = 0;

		store_->with_entries([&](const auto &entries) {
			for (const auto &entry : entries) {
				std::array<char, 65536> text{};

				if (!entry.name.starts_with('S'))
					continue;
				const ssize_t length = ::pread(entry.fd.get(), text.data(), text.size(), 0);
				const std::string one{text.data(), static_cast<std::size_t>(length)};
				const auto number = nlohmann::json::parse(one).at("server").at("sequence").get<std::uint64_t>();

				if (number > sequence)
					newest = one;
				sequence = std::max(sequence, number);
			}
		});

		return newest;
	}
};

TEST_F(server_store, state_that_is_of_no_use)
{
	start(command(), true);
	struct trial {
		std::string text;
		bool sealed;
		const char *said;
	};
	const std::string good = state_text();
	std::string without = good;

	without.replace(without.find("next_id"), 7, "text_id");
	for (const trial &each : {trial{"", true, "no JSON object"}, trial{"{\"kvmchan\":1", true, "no JSON object"},
	                          trial{"{\"kvmchan\":2}", true, "its version is 2, not 1"},
	                          trial{good, false, "no sealed file"}, trial{without, true, "next_id"}}) {
		raw_client client{socket_};

		ASSERT_EQ(client.take(3 + vectors).size(), 3 + vectors);
		const std::size_t before = times_said(each.said);

		server_->end(SIGKILL);
		replace_states(each.text, each.sealed);
		server_->start();
		ASSERT_TRUE(wait_until_served()) << output();
		EXPECT_GT(times_said(each.said), before) << each.said << "\n" << output();
		EXPECT_GE(times_said("starts afresh"), 1U);
		/* The store's own copies are given up as well. */
		EXPECT_TRUE(client.ended());
		EXPECT_EQ(raw_client{socket_}.take(2).at(1).value(), 0);
		ASSERT_TRUE(eventually([&] { return status().at("peers").empty(); }));
	}
}

TEST_F(server_store, descriptor_that_is_missing)
{
	start(command({"--format"}), true);
	auto client = std::make_unique<raw_client>(socket_);

	ASSERT_EQ(client->take(3 + vectors).size(), 3 + vectors);
	for (const char *missing : {"0m", "0k", "0s0", "0l1", "0b0.1"}) {
		status();
		server_->end(SIGKILL);
		const auto erased = store_->with_entries([&](auto &entries) {
			return std::erase_if(entries, [&](const auto &entry) { return entry.name.substr(1) == missing + 1; });
		});
		ASSERT_EQ(erased, 1U) << missing;
		server_->start();
		ASSERT_TRUE(wait_until_served()) << missing << "\n" << output();
		EXPECT_TRUE(client->ended()) << missing;
		client = std::make_unique<raw_client>(socket_);
		ASSERT_EQ(client->take(3 + vectors).size(), 3 + vectors) << missing;
	}
}

TEST_F(server_store, holds_no_more_than_there_is)
{
	start(command({"--vm", "web"}), true);
	const std::size_t before = stored();

	for (int i = 0; i < 5; ++i) {
		raw_client web{socket_ + ".web"};

		ASSERT_EQ(web.take(3 + vectors).size(), 3 + vectors);
		EXPECT_EQ(stored(), before + 1);
		server_->end(i % 2 ? SIGKILL : SIGTERM);
		server_->start();
		ASSERT_TRUE(wait_until_served());
		EXPECT_EQ(stored(), before + 1);
		web.close();
		ASSERT_TRUE(eventually([&] { return stored() == before; }));
	}
	EXPECT_GE(store_->ready(), 6);
}

/* At whatever moment it is killed: who is still connected knows just who is there. */
TEST_F(server_store, killed_while_clients_come_and_go)
{
	std::mt19937 random{7};
	std::size_t kept = 0;

	start(command(), true);
	auto watcher = std::make_unique<ivshmem_client>(ivshmem_client::connect(socket_, patience, {.vectors = vectors}));
	std::vector<std::unique_ptr<raw_client>> crowd;

	for (int round = 0; round < 30; ++round) {
		std::thread killer{[&, after = std::chrono::microseconds{random() % 6000}] {
			std::this_thread::sleep_for(after);
			server_->signal(SIGKILL);
		}};

		for (int i = 0; i < 12; ++i) {
			try {
				crowd.push_back(std::make_unique<raw_client>(socket_));
			} catch (const std::runtime_error &) {
				break;
			}
			if (crowd.size() > 4)
				crowd.erase(crowd.begin() + static_cast<std::ptrdiff_t>(random() % crowd.size()));
		}
		killer.join();
		server_->end(SIGKILL);
		server_->start();
		ASSERT_TRUE(wait_until_served()) << output();
		std::erase_if(crowd, [](auto &each) { return each->ended(20); });

		std::error_code ec;
		const bool agree = eventually([&] {
			std::set<std::uint16_t> there;

			watcher->pump(nullptr, ec);
			const auto now = status();

			for (const auto &peer : now.at("peers"))
				there.insert(peer.at("id").get<std::uint16_t>());
			there.erase(watcher->id());
			const auto known = watcher->peers();

			return ec || there == std::set<std::uint16_t>(known.begin(), known.end());
		});

		ASSERT_TRUE(agree) << "round " << round << "\n" << ::testing::PrintToString(watcher->peers()) << "\n" << status().dump() << output();
		kept += ec ? 0U : 1U;
		if (ec)
			watcher = std::make_unique<ivshmem_client>(
				ivshmem_client::connect(socket_, patience, {.vectors = vectors}));
	}
	EXPECT_GT(kept, 0U) << "never does one stay connected";
}

} // namespace
} // namespace kvmchan::testing
