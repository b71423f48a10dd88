// SPDX-License-Identifier: MIT
// A server that is followed by another one, and whom that concerns: nobody.
#include "server_successor.hpp"

#include <array>
#include <set>

#include <sys/stat.h>

#include "doorbell.hpp"
#include "ivshmem_client.hpp"
#include "ivshmem_raw_client.hpp"
#include "kvmchan/channel.hpp"
#include "manager.hpp"
#include "memory.hpp"
#include "shared_format.hpp"
#include "side_lock.hpp"

namespace kvmchan::testing {
namespace {

/* ---- whatever the way in which a server is followed ---- */

enum class way { request, signal, terminated, killed };

std::string name_of_way(const ::testing::TestParamInfo<way> &it)
{
	const std::array<std::string, 4> names{"request", "signal", "terminated", "killed"};

	return names.at(static_cast<std::size_t>(it.param));
}

class server_followed : public server_handover, public ::testing::WithParamInterface<way> {
protected:
	bool by_store() const { return GetParam() == way::terminated || GetParam() == way::killed; }

	void serve(const std::vector<std::string> &more = {}) { start(command(more), by_store()); }

	/* What happens in @p gap happens while nobody serves. */
	void follow(const std::function<void()> &gap = [] {})
	{
		const std::size_t before = times_said("of a former server");

		/* When it answers it has also written down what it did before. */
		status();
		if (by_store()) {
			server_->end(GetParam() == way::killed ? SIGKILL : SIGTERM);
			gap();
			server_->start();
		} else if (GetParam() == way::signal) {
			server_->signal(SIGSTOP);
			server_->signal(SIGUSR2);
			gap();
			server_->signal(SIGCONT);
		} else {
			ask({{"cmd", "restart"}});
			gap();
		}
		ASSERT_TRUE(eventually([&] { return times_said("of a former server") > before || !server_->running(); }));
		ASSERT_TRUE(wait_until_served()) << output();
	}

	/* The doorbell that came with a message is the one that @p own gets. */
	static bool rings(const raw_message &theirs, const raw_message &own)
	{
		return ring_doorbell(theirs.fd) && drain_doorbell(own.fd);
	}
};

TEST_P(server_followed, clients_see_no_end_and_hear_of_others)
{
	serve();
	raw_client first{socket_};
	const auto hers = first.take(3 + vectors);
	raw_client second{socket_};
	const auto his = second.take(3 + 2 * vectors);

	ASSERT_EQ(first.take(vectors).size(), vectors);
	ASSERT_EQ(his.size(), 3 + 2 * vectors);
	for (int round = 0; round < 3; ++round)
		follow();
	EXPECT_FALSE(first.next(50)) << "something was said, or the connection ended";
	EXPECT_FALSE(first.ended(0));
	EXPECT_FALSE(second.ended(0));

	raw_client third{socket_};
	const auto its = third.take(3 + 3 * vectors);

	ASSERT_EQ(its.size(), 3 + 3 * vectors);
	EXPECT_EQ(its[1].value(), 2) << "an ID that is taken, or one that was skipped";
	for (std::size_t v = 0; v < vectors; ++v) {
		EXPECT_EQ(its[3 + v].value(), 0);
		EXPECT_TRUE(rings(its[3 + v], hers[3 + v])) << "vector " << v << " is not the one of before";
		EXPECT_EQ(its[3 + vectors + v].value(), 1);
		EXPECT_TRUE(rings(its[3 + vectors + v], his[3 + vectors + v]));
	}
	const auto news = first.take(vectors);

	ASSERT_EQ(news.size(), vectors);
	for (std::size_t v = 0; v < vectors; ++v) {
		EXPECT_EQ(news[v].value(), 2);
		EXPECT_TRUE(rings(news[v], its[3 + 2 * vectors + v]));
	}
	second.close();
	EXPECT_EQ(first.take(1).at(0).value(), 1);
	EXPECT_EQ(third.take(1).at(0).value(), 1);
	follow();
	raw_client fourth{socket_};

	EXPECT_EQ(fourth.take(2).at(1).value(), 3) << "the ID of one that left is given away again";
	EXPECT_EQ(first.take(1).at(0).value(), 3);
}

TEST_P(server_followed, memory_and_table_stay)
{
	serve({"--channel", "a"});
	raw_client before{socket_};
	const int memory_before = before.take(3).at(2).fd;
	const std::string incarnation = status().at("incarnation");

	ask({{"cmd", "add"}, {"name", "b"}});
	ask({{"cmd", "remove"}, {"name", "a"}});
	ask({{"cmd", "add"}, {"name", "c"}});
	follow();
	raw_client after{socket_};
	struct stat one {}, other {};

	ASSERT_EQ(::fstat(memory_before, &one), 0);
	ASSERT_EQ(::fstat(after.take(3).at(2).fd, &other), 0);
	EXPECT_EQ(one.st_ino, other.st_ino);
	EXPECT_EQ(status().at("incarnation"), incarnation);
	EXPECT_EQ(status().at("sealed"), true);

	const auto slots = status().at("slots");
	std::set<std::string> names;

	for (const auto &slot : slots)
		names.insert(slot.at("name"));
	EXPECT_EQ(names, (std::set<std::string>{"a", "b", "c"})) << "of the command line, or added later";
}

TEST_P(server_followed, who_leaves_in_the_gap_is_seen_to_leave)
{
	serve({"--channel", "a", "--channel", "c:stream:4K"});
	ivshmem_client survivor = ivshmem_client::connect(socket_, patience, {.vectors = vectors});
	auto dying = std::make_unique<ivshmem_client>(ivshmem_client::connect(socket_, patience, {.vectors = vectors}));
	const memory shared = memory::adopt(survivor.take_memory());
	auto *const table = reinterpret_cast<const kvmchan_slot *>(shared.bytes().data() + KVMCHAN_PAGE_SIZE);
	/* Epochs are counted from here: none is reaped from the start. */
	constexpr std::uint64_t first = first_epochs_before + 1;
	std::error_code ec;
	auto page = [&](unsigned slot, unsigned side) -> kvmchan_session_page & {
		return reinterpret_cast<kvmchan_control *>(shared.bytes().data() + table[slot].control)->side[side].session;
	};
	auto bell = [](std::uint64_t peer, std::uint64_t vector) {
		return vector | peer << KVMCHAN_BELL_PEER_SHIFT | KVMCHAN_BELL_RINGABLE;
	};

	ASSERT_TRUE(eventually([&] {
		survivor.pump(nullptr, ec);
		return survivor.peers().size() == 1;
	}));
	page(0, 0).bell = page(1, 0).bell = bell(survivor.id(), 1);
	page(0, 0).link = page(1, 0).link = first | KVMCHAN_LINK_OPEN;
	const side_lock lock_a = side_lock::acquire(shared.fd(), 0, 0, ec), lock_c = side_lock::acquire(shared.fd(), 1, 0, ec);

	page(0, 1).bell = page(1, 1).bell = bell(dying->id(), 1);
	page(0, 1).link = (first + 7) | KVMCHAN_LINK_OPEN;
	page(1, 1).link = first + 7;
	drain_doorbell(survivor.vector_fd(1));
	follow([&] { dying.reset(); });
	EXPECT_TRUE(eventually([&] { return kvmchan_load_acquire(&table[0].reaped[1]) == first + 7; }));
	EXPECT_TRUE(eventually([&] { return drain_doorbell(survivor.vector_fd(1)); }));
	EXPECT_LT(kvmchan_load(&table[0].reaped[0]), first) << "declared dead while it lives";
	EXPECT_TRUE(eventually([&] {
		survivor.pump(nullptr, ec);
		return survivor.peers().empty();
	}));
	EXPECT_FALSE(ec) << ec.message();
}

/* Its messages are far more than the kernel keeps for it. */
TEST_P(server_followed, a_slow_client_misses_nothing)
{
	constexpr std::size_t many = 600;

	if (GetParam() == way::killed)
		GTEST_SKIP() << "what was on its way to it cannot be known then";
	start({KVMCHAN_TOOL, "serve", "-v", "-F", "-q", "--memfd", "-S", socket_, "-l", "1M", "-n", std::to_string(many)}, by_store());
	raw_client slow{socket_};

	ASSERT_TRUE(eventually([&] { return status().at("peers").size() == 1 && status().at("peers").at(0).at("queued") > 0; }));
	follow();
	follow();
	const auto all = slow.take(3 + many);

	ASSERT_EQ(all.size(), 3 + many);
	EXPECT_EQ(all[0].value(), 0);
	EXPECT_EQ(all[1].value(), 0);
	EXPECT_EQ(all[2].value(), -1);
	for (std::size_t i = 3; i < all.size(); ++i) {
		ASSERT_EQ(all[i].value(), 0) << i;
		ASSERT_GE(all[i].fd, 0) << i;
	}
	EXPECT_FALSE(slow.next(50)) << "more than there is";
}

TEST_P(server_followed, vms_keep_their_sockets_and_ids)
{
	serve({"--vm", "web:7", "--channel", "a"});
	raw_client web{socket_ + ".web"};
	const auto burst = web.take(3 + vectors);
	raw_client client{socket_};

	ASSERT_EQ(burst.size(), 3 + vectors);
	EXPECT_EQ(burst[1].value(), 7);
	ASSERT_EQ(client.take(3 + 2 * vectors).size(), 3 + 2 * vectors);
	ASSERT_EQ(web.take(vectors).size(), vectors);
	client.close();
	ASSERT_TRUE(eventually([&] { return status().at("peers").size() == 1; }));
	follow();
	EXPECT_FALSE(web.ended(50));
	EXPECT_TRUE(raw_client{socket_ + ".web"}.ended()) << "a second one was let in";

	raw_client again{socket_};

	EXPECT_EQ(again.take(2).at(1).value(), 0) << "the peer that the VM keeps is not used again";
	EXPECT_FALSE(web.next(50)) << "a VM was told of what it has";
	web.close();
	ASSERT_TRUE(eventually([&] { return !status().at("peers").at(1).at("connected").get<bool>(); }));
	raw_client back{socket_ + ".web"};

	EXPECT_EQ(back.take(2).at(1).value(), 7);
}

TEST_P(server_followed, channels_lose_nothing)
{
	constexpr std::size_t total = 8 << 20;

	serve({"--channel", "a:stream:16K"});
	const auto one = region::attach(socket_), other = region::attach(socket_);
	channel in{one, "a"}, out{other, "a"};
	std::atomic<std::size_t> sent{0};
	std::thread writer{[&] {
		std::vector<std::byte> chunk(1000);

		for (std::size_t at = 0; at < total; at += chunk.size()) {
			for (std::size_t i = 0; i < chunk.size(); ++i)
				chunk[i] = static_cast<std::byte>((at + i) * 31 >> 3);
			out.write_all(chunk);
			sent = at + chunk.size();
		}
		out.shutdown_write();
	}};
	std::size_t received = 0, wrong = 0;
	std::thread reader{[&] {
		std::vector<std::byte> chunk(4096);

		while (const std::size_t n = in.read_some(chunk))
			for (std::size_t i = 0; i < n; ++i, ++received)
				wrong += chunk[i] != static_cast<std::byte>(received * 31 >> 3);
	}};

	for (int round = 0; round < 5; ++round)
		follow();
	writer.join();
	reader.join();
	EXPECT_EQ(received, sent);
	EXPECT_GE(received, total);
	EXPECT_EQ(wrong, 0U);
}

INSTANTIATE_TEST_SUITE_P(ways, server_followed,
                         ::testing::Values(way::request, way::signal, way::terminated, way::killed),
                         name_of_way);

/* ---- the program run again ---- */

TEST_F(server_handover, fifty_times_and_no_descriptor_more)
{
	start(command({"--channel", "a", "--vm", "web"}), false);
	raw_client client{socket_};

	ASSERT_EQ(client.take(3 + 2 * vectors).size(), 3 + 2 * vectors);
	ASSERT_TRUE(run_again());
	std::this_thread::sleep_for(100ms);
	const std::size_t before = server_->descriptors();
	const pid_t pid = server_->pid();

	for (int i = 0; i < 50; ++i)
		ASSERT_TRUE(run_again()) << i << "\n" << output();
	EXPECT_TRUE(eventually([&] { return server_->descriptors() == before; })) << "more than a request's";
	EXPECT_EQ(server_->pid(), pid);
	EXPECT_FALSE(client.ended(50));
	EXPECT_EQ(server_->end(SIGTERM), 0);
	EXPECT_TRUE(client.ended());
	EXPECT_FALSE(std::filesystem::exists(socket_)) << "its files are left behind";
	EXPECT_FALSE(std::filesystem::exists(socket_ + ".lock"));
}

TEST_F(server_handover, a_program_that_is_not_there)
{
	const auto program = directory_ / "program";
	std::vector<std::string> words = command();

	std::filesystem::copy(KVMCHAN_TOOL, program);
	words[0] = program;
	start(words, false);
	raw_client client{socket_};

	ASSERT_EQ(client.take(3 + vectors).size(), 3 + vectors);
	const std::size_t before = server_->descriptors();

	std::filesystem::remove(program);
	EXPECT_THROW(ask({{"cmd", "restart"}}), std::system_error);
	server_->signal(SIGUSR2);
	ASSERT_TRUE(eventually([&] { return times_said("restart: ") == 1; })) << output();
	EXPECT_EQ(times_said("program: No such file"), 1U) << output();
	/* Another one in its place, which does not start. */
	std::ofstream{program} << "#!/bin/sh\necho it is damaged\nexit 1\n";
	std::filesystem::permissions(program, std::filesystem::perms::owner_all);
	server_->signal(SIGUSR2);
	ASSERT_TRUE(eventually([&] { return times_said("restart: ") == 2; })) << output();
	EXPECT_TRUE(server_answers(socket_));
	EXPECT_FALSE(client.ended(50));
	EXPECT_EQ(server_->descriptors(), before);
	raw_client late{socket_};

	EXPECT_EQ(late.take(2).at(1).value(), 1);
	EXPECT_EQ(client.take(vectors).size(), vectors);
}

TEST_F(server_handover, a_file_with_a_mistake_is_refused)
{
	const auto file = directory_ / "kvmchan.toml";
	const std::string head = "[[region]]\nname = \"r\"\nsize = \"1M\"\nsocket = \"" + socket_ + "\"\n";

	std::ofstream{file} << head << "[[region.channel]]\nname = \"a\"\n";
	start({KVMCHAN_TOOL, "serve", "-v", "-F", "-q", "-c", file.string()}, false);
	raw_client client{socket_};

	std::ofstream{file} << head << "nonsense";
	EXPECT_THROW(ask({{"cmd", "restart"}}), std::system_error);
	EXPECT_TRUE(server_answers(socket_));
	/* What the file does not name any more goes, as with a reload. */
	std::ofstream{file} << head << "[[region.channel]]\nname = \"b\"\n";
	ASSERT_TRUE(run_again());
	ASSERT_EQ(status().at("slots").size(), 1U);
	EXPECT_EQ(status().at("slots").at(0).at("name"), "b");
	EXPECT_FALSE(client.ended(0));
	/* Another shape: those who were there cannot stay. */
	std::ofstream{file} << head << "vectors = 3\n";
	ask({{"cmd", "restart"}});
	EXPECT_TRUE(client.ended());
	ASSERT_TRUE(wait_until_served());
	EXPECT_EQ(raw_client{socket_}.take(6).size(), 6U);
	EXPECT_EQ(times_said("have to connect again"), 1U) << output();
}

/* The same name, but another size; and then no such region at all. */
TEST_F(server_handover, memory_with_a_name_goes_with_its_region)
{
	const auto file = directory_ / "kvmchan.toml";
	const auto object = directory_ / "memory", other = directory_ / "other";
	const auto write = [&](const std::string &name, const std::string &size, const std::filesystem::path &path) {
		std::ofstream{file} << "[[region]]\nname = \"" << name << "\"\nsize = \"" << size << "\"\nsocket = \"" << socket_
		                    << "\"\nmemory = \"file\"\npath = \"" << path.string() << "\"\n";
	};

	write("r", "1M", object);
	start({KVMCHAN_TOOL, "serve", "-v", "-F", "-q", "-c", file.string()}, false);
	EXPECT_EQ(std::filesystem::file_size(object), 1U << 20);
	ASSERT_TRUE(run_again());
	EXPECT_TRUE(std::filesystem::exists(object)) << "it went on, and its memory went";

	write("r", "2M", object);
	ask({{"cmd", "restart"}});
	EXPECT_TRUE(eventually([&] { return times_said("have to connect again") == 1; })) << output();
	ASSERT_TRUE(wait_until_served()) << output();
	EXPECT_EQ(std::filesystem::file_size(object), 2U << 20);

	write("s", "1M", other);
	ask({{"cmd", "restart"}});
	EXPECT_TRUE(eventually([&] { return times_said("not configured any more") == 1; })) << output();
	ASSERT_TRUE(wait_until_served()) << output();
	EXPECT_FALSE(std::filesystem::exists(object)) << "left behind";
	EXPECT_TRUE(std::filesystem::exists(other));
	EXPECT_EQ(server_->end(SIGTERM), 0);
	EXPECT_FALSE(std::filesystem::exists(other));
}

TEST_F(server_handover, in_the_background_with_its_pid_file)
{
	const std::string pid_path = (directory_ / "pid").string();
	successor launcher{{KVMCHAN_TOOL, "serve", "-q", "-p", pid_path, "-S", socket_, "-l", "1M", "--format"},
	                   directory_ / "output"};
	auto pid = [&] {
		pid_t number = 0;

		std::ifstream{pid_path} >> number;
		return number;
	};

	launcher.start();
	ASSERT_TRUE(eventually([&] { return server_answers(socket_); }));
	const pid_t before = pid();
	raw_client client{socket_};

	ASSERT_EQ(client.take(4).size(), 4U);
	ASSERT_GT(before, 1);
	for (int i = 0; i < 3; ++i)
		ASSERT_TRUE(eventually([&] {
			try {
				ask({{"cmd", "restart"}});
				return true;
			} catch (const std::exception &) {
				return false;
			}
		}));
	ASSERT_TRUE(eventually([&] { return server_answers(socket_); }));
	EXPECT_FALSE(client.ended(50));
	EXPECT_EQ(pid(), before);
	::kill(before, SIGTERM);
	EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(pid_path); }));
	EXPECT_TRUE(client.ended());
}

/* Nobody keeps anything: the next one finds stale files, and serves. */
TEST_F(server_handover, killed_without_a_store)
{
	start(command(), false);
	raw_client client{socket_};

	ASSERT_EQ(client.take(3 + vectors).size(), 3 + vectors);
	ask({{"cmd", "restart"}});
	server_->end(SIGKILL);
	EXPECT_TRUE(client.ended());
	server_->start();
	ASSERT_TRUE(wait_until_served()) << output();
	EXPECT_EQ(raw_client{socket_}.take(2).at(1).value(), 0);
}

} // namespace
} // namespace kvmchan::testing
