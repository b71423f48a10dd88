// SPDX-License-Identifier: MIT
// A region with as many clients as a large host has, some of which misbehave.
#include "server_process.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <random>
#include <set>

#include <sys/epoll.h>
#include <sys/resource.h>

#include "daemon.hpp"
#include "doorbell.hpp"
#include "ivshmem_raw_client.hpp"
#include "unique_fd.hpp"

namespace kvmchan::testing {
namespace {

constexpr std::size_t vectors = 32;
#ifdef KVMCHAN_SANITIZED
/* Everything takes ten times as long. */
constexpr std::size_t members_wanted = 40, visits = 1000, outbursts = 40;
#else
constexpr std::size_t members_wanted = 150, visits = 10'000, outbursts = 200;
#endif

/** A client that reads all, and checks it: what it is told is who comes and who goes. */
class member {
public:
	struct event {
		std::int64_t id;
		bool came;

		bool operator==(const event &) const = default;
	};

	/** Most keep no doorbell: a crowd that keeps all needs 150 times 4800 descriptors. */
	member(const std::filesystem::path &socket, bool keeps) : client_{socket}, keeps_{keeps} {}

	/** Takes what is there; false when the stream is over or makes no sense. */
	bool take()
	{
		while (const auto message = client_.next_now()) {
			if (keeps_)
				client_.disown();
			const bool good = heed(*message, unique_fd{keeps_ ? message->fd : -1});

			client_.forget();
			if (!good)
				return false;
		}
		return errno == EAGAIN;
	}

	int fd() const { return client_.fd(); }
	std::int64_t id() const { return id_; }
	/** It has all of what a new client is told. */
	bool told() const { return told_; }
	/** Who was there when it came. */
	const std::set<std::int64_t> &found() const { return found_; }
	/** What it heard since. */
	const std::vector<event> &heard() const { return heard_; }
	const std::set<std::int64_t> &present() const { return present_; }
	const std::string &trouble() const { return trouble_; }
	const std::map<std::int64_t, std::vector<unique_fd>> &bells() const { return bells_; }

private:
	bool heed(const raw_message &message, unique_fd bell)
	{
		const std::int64_t value = message.value();
		const bool has_fd = message.fd >= 0;

		++count_;
		if (message.cut)
			return wrong("a descriptor that did not fit here", value);
		if (count_ <= 3)
			return begin(value, has_fd);
		if (!has_fd)
			return departure(value);
		if (announced_ && value != coming_)
			return wrong("another's vector among those of", value);
		if (!announced_ && present_.contains(value))
			return wrong("a second time", value);
		coming_ = value;
		if (keeps_)
			bells_[value].push_back(std::move(bell));
		if (++announced_ == vectors)
			arrived(value);
		return true;
	}

	bool begin(std::int64_t value, bool has_fd)
	{
		if (count_ == 2)
			id_ = value;
		if ((count_ == 1 && value != 0) || (count_ == 3 && value != -1) || has_fd != (count_ == 3))
			return wrong("not the beginning", value);
		return true;
	}

	void arrived(std::int64_t who)
	{
		announced_ = 0;
		if (told_)
			heard_.push_back({who, true});
		else if (who == id_)
			told_ = true;
		else
			found_.insert(who);
		if (who != id_)
			present_.insert(who);
	}

	bool departure(std::int64_t who)
	{
		if (announced_ || !told_ || present_.erase(who) == 0)
			return wrong("the departure of somebody who is not there", who);
		heard_.push_back({who, false});
		bells_.erase(who);
		return true;
	}

	bool wrong(const char *what, std::int64_t value)
	{
		trouble_ = std::string{what} + " " + std::to_string(value) + " in message " + std::to_string(count_) +
		           " of client " + std::to_string(id_);
		errno = EPROTO;
		return false;
	}

	raw_client client_;
	bool keeps_;
	std::size_t count_ = 0, announced_ = 0;
	std::int64_t id_ = -1, coming_ = -1;
	bool told_ = false;
	std::set<std::int64_t> found_, present_;
	std::vector<event> heard_;
	std::map<std::int64_t, std::vector<unique_fd>> bells_;
	std::string trouble_;
};

class server_crowd : public ::testing::Test {
protected:
	server_crowd() : epoll_{::epoll_create1(EPOLL_CLOEXEC)} { members_.reserve(members_wanted); }

	nlohmann::json ask() const { return control_request(socket_ + ".ctl", {{"cmd", "status"}}, patience); }
	nlohmann::json status() const { return ask().at("region"); }
	/** What the server has allocated, in bytes; what it keeps in reserve is chance. 0 with sanitizers: they find leaks. */
	std::uint64_t heap() const { return ask().at("server").at("heap"); }

	void start()
	{
		const std::vector<std::string> words{KVMCHAN_TOOL, "serve",   "-F", "-q", "--memfd", "-S", socket_, "-l", "1M", "-n",
		                                     std::to_string(vectors), "--client-deadline", "5000"};

		server_.emplace(words, directory_ / "output");
		ASSERT_TRUE(eventually([&] { return server_answers(socket_) || !server_->running(); }));
	}

	void join(bool keeps)
	{
		members_.push_back(std::make_unique<member>(socket_, keeps));
		epoll_event event{.events = EPOLLIN, .data = {.ptr = members_.back().get()}};

		ASSERT_EQ(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, members_.back()->fd(), &event), 0);
		ASSERT_TRUE(pump_until([&] { return members_.back()->told(); }));
	}

	/* All members read what they have got. */
	void pump(int timeout_ms)
	{
		std::array<epoll_event, 64> events;
		const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);

		for (int i = 0; i < count; ++i) {
			auto *const one = static_cast<member *>(events.at(static_cast<std::size_t>(i)).data.ptr);

			if (one->take())
				continue;
			::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one->fd(), nullptr);
			FAIL() << (one->trouble().empty() ? "client " + std::to_string(one->id()) + " was dropped" : one->trouble());
		}
	}

	/* While the server works it does not matter how long that takes. */
	template <typename Condition>
	bool pump_until(Condition condition)
	{
		const auto deadline = std::chrono::steady_clock::now() + 4 * patience;

		while (!HasFailure() && !condition()) {
			if (std::chrono::steady_clock::now() > deadline)
				return false;
			pump(10);
		}
		return !HasFailure();
	}

	bool all_is_said()
	{
		const auto peers = status().at("peers");

		return peers.size() == members_.size() &&
		       std::all_of(peers.begin(), peers.end(), [](const auto &peer) { return peer.at("queued") == 0; }) &&
		       std::all_of(members_.begin(), members_.end(), [&](const auto &each) {
			       return each->present().size() + 1 == members_.size();
		       });
	}

	/* The first has heard all; each other one what the first heard after it came. */
	void compare_streams() const
	{
		const auto &all = members_.front()->heard();
		std::set<std::int64_t> there{members_.front()->id()};
		auto at = all.begin();

		for (std::size_t i = 1; i < members_.size(); ++i) {
			const member &one = *members_.at(i);

			for (; at != all.end() && *at != member::event{one.id(), true}; ++at) {
				if (at->came)
					there.insert(at->id);
				else
					there.erase(at->id);
			}
			ASSERT_NE(at, all.end()) << "nobody heard that client " << one.id() << " came";
			EXPECT_EQ(one.found(), there) << "client " << one.id();
			ASSERT_TRUE(std::equal(at + 1, all.end(), one.heard().begin(), one.heard().end()))
				<< "client " << one.id() << " heard " << one.heard().size() << " things, not the "
				<< all.end() - at - 1 << " that happened since";
		}
	}

	/* What both have of it is one and the same doorbell, for each vector. */
	static void compare_bells(const member &one, const member &other)
	{
		for (const std::int64_t owner : {one.id(), other.id()})
			for (std::size_t v = 0; v < vectors; ++v) {
				ASSERT_TRUE(ring_doorbell(one.bells().at(owner).at(v).get()));
				ASSERT_TRUE(drain_doorbell(other.bells().at(owner).at(v).get())) << "peer " << owner << " vector " << v;
			}
	}

	/* Comes, and is away again. */
	void visit()
	{
		for (std::size_t i = 0; i < visits; ++i)
			raw_client{socket_}.close();
	}

	/* Says something, of any length, and with descriptors or without. */
	void talk_nonsense(unsigned seed)
	{
		std::mt19937 random{seed};

		for (std::size_t i = 0; i < outbursts; ++i) {
			raw_client client{socket_};
			std::array<char, 64> bytes;
			alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
			iovec vector{bytes.data(), 1 + random() % bytes.size()};
			msghdr header{};

			/* Half of them when they are let in already. */
			if (random() % 2)
				client.take(1);
			std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
			header.msg_iov = &vector;
			header.msg_iovlen = 1;
			if (const std::size_t fds = random() % 9) {
				const std::array<int, 8> some{0, 0, 0, 0, 0, 0, 0, 0};

				header.msg_control = control.data();
				header.msg_controllen = CMSG_SPACE(fds * sizeof(int));
				cmsghdr *const c = CMSG_FIRSTHDR(&header);

				c->cmsg_level = SOL_SOCKET;
				c->cmsg_type = SCM_RIGHTS;
				c->cmsg_len = CMSG_LEN(fds * sizeof(int));
				std::memcpy(CMSG_DATA(c), some.data(), fds * sizeof(int));
			}
			::sendmsg(client.fd(), &header, MSG_NOSIGNAL);
			spoken_ += client.ended() ? 1U : 0U;
		}
	}

	/* Reads nothing until it is thrown out. */
	void be_lazy()
	{
		const raw_client client{socket_};
		pollfd entry{client.fd(), 0, 0};

		thrown_out_ += ::poll(&entry, 1, 120'000) == 1 ? 1U : 0U;
	}

	void flood(unsigned seed)
	{
		std::atomic<int> busy{3};
		const auto run = [&](auto what) { return std::thread{[&busy, what] { what(); --busy; }}; };
		std::array<std::thread, 3> hostile{run([this] { be_lazy(); }), run([this] { visit(); }),
		                                   run([this, seed] { talk_nonsense(seed); })};
		const bool over = pump_until([&] { return busy == 0; });

		if (!over)
			server_->signal(SIGKILL);
		for (std::thread &each : hostile)
			each.join();
		ASSERT_TRUE(over);
		ASSERT_TRUE(pump_until([&] { return all_is_said(); })) << status().at("peers").size() << " are there";
	}

	std::size_t descriptors() const
	{
		const std::filesystem::directory_iterator begin{"/proc/" + std::to_string(server_->pid()) + "/fd"};

		return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
	}

	temporary_directory directory_;
	const std::string socket_ = (directory_ / "s").string();
	std::optional<process> server_;
	unique_fd epoll_;
	std::vector<std::unique_ptr<member>> members_;
	std::atomic<std::size_t> spoken_{0}, thrown_out_{0};
};

TEST_F(server_crowd, is_told_all_whatever_others_do)
{
	rlimit limit{};

	raise_descriptor_limit();
	ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 4 * members_wanted * vectors)
		GTEST_SKIP() << "needs " << 4 * members_wanted * vectors << " descriptors, has " << limit.rlim_cur;
	start();
	for (std::size_t i = 0; i < members_wanted; ++i) {
		join(i == 0 || i + 1 == members_wanted);
		ASSERT_FALSE(HasFailure());
	}
	flood(1);
	ASSERT_FALSE(HasFailure());
	const std::size_t fds = descriptors();
	const std::uint64_t before = heap();

	flood(2);
	ASSERT_FALSE(HasFailure());
	compare_streams();
	compare_bells(*members_.front(), *members_.back());
	EXPECT_EQ(spoken_, 2 * outbursts);
	EXPECT_EQ(thrown_out_, 2U);
	EXPECT_EQ(descriptors(), fds);
	/* The allocator caches a little; a leak of 100 bytes a visit is a million. */
	EXPECT_LE(heap(), before + 256 * 1024);
	server_->signal(SIGTERM);
	EXPECT_EQ(server_->wait(), 0);
}

} // namespace
} // namespace kvmchan::testing
