// SPDX-License-Identifier: MIT
/*
 * Any operation on any node, by many threads that share their descriptors and
 * mappings, with arguments that are right, nearly right or noise; meanwhile
 * devices lose their driver and get it back. Of a call nothing is expected but
 * that it returns; of the machine, that it works when all is over, and that the
 * kernel has not complained.
 *
 * Amounts: operations (of each thread), operation_threads, operation_minutes
 * (to go on for, at least), operation_seed.
 */
#include "random_user.hpp"
#include "spin.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <random>
#include <thread>

namespace {

using namespace node;

/* ---- how often ---- */

struct operation {
	const char *name;
	bool (random_user::*run)();
	unsigned weight;
};

constexpr auto operations = std::to_array<operation>({
	{"open", &random_user::open_node, 40},
	{"close", &random_user::close_one, 10},
	{"read", &random_user::read_some, 60},
	{"write", &random_user::write_some, 60},
	{"readv", &random_user::read_vector, 20},
	{"writev", &random_user::write_vector, 20},
	{"splice", &random_user::splice_through, 10},
	{"sendfile", &random_user::send_file, 10},
	{"poll", &random_user::poll_some, 30},
	{"epoll_ctl", &random_user::epoll_change, 20},
	{"epoll_wait", &random_user::epoll_look, 10},
	{"ioctl", &random_user::control, 60},
	{"ioctl with noise", &random_user::control_with_noise, 20},
	{"mmap", &random_user::map, 40},
	{"munmap", &random_user::unmap, 10},
	{"change of a mapping", &random_user::change_mapping, 10},
	{"use of a mapping", &random_user::touch_mapping, 30},
	{"fcntl", &random_user::change_flags, 20},
	{"dup", &random_user::duplicate, 10},
	{"fork", &random_user::fork_one, 1},
	{"io_uring", &random_user::submit, 20},
	{"io_uring cancel", &random_user::cancel_or_reap, 20},
	{"what files do", &random_user::use_as_file, 10},
	{"attribute read", &random_user::read_attribute, 3},
	{"attribute written", &random_user::write_attribute, 1},
});

struct tally {
	std::atomic<std::uint64_t> calls{0};
	std::atomic<std::uint64_t> good{0};
};
using tallies = std::array<tally, operations.size()>;

std::size_t choose(std::mt19937_64 &random)
{
	static const auto weights = [] {
		std::vector<double> all;
		for (const auto &each : operations)
			all.push_back(each.weight);
		return all;
	}();
	std::discrete_distribution<std::size_t> pick{weights.begin(), weights.end()};
	return pick(random);
}

/* ---- the whole ---- */

class until {
public:
	until() : end_{std::chrono::steady_clock::now() + std::chrono::minutes{amount("operation_minutes", 0)}} {}
	bool over(std::uint64_t done) const
	{
		return done >= count_ && std::chrono::steady_clock::now() >= end_;
	}

private:
	std::uint64_t count_ = amount("operations", 20000);
	std::chrono::steady_clock::time_point end_;
};

void use(shared_descriptors &shared, std::uint64_t seed, const until &end, tallies &counts)
{
	random_user who{shared, seed};
	std::mt19937_64 random{~seed};
	for (std::uint64_t done = 0; !end.over(done); ++done) {
		const auto which = choose(random);
		const bool good = (who.*operations[which].run)();
		++counts[which].calls;
		counts[which].good += good;
	}
}

std::vector<std::string> devices()
{
	std::vector<std::string> found;
	for (const auto &each : fs::directory_iterator{driver}) {
		if (fs::exists(each.path() / "ivshmem"))
			found.push_back(each.path().filename());
	}
	std::ranges::sort(found);
	return found;
}

void prefer(const std::string &device, const char *side)
{
	std::ofstream{driver / device / "ivshmem/prefer_side"} << side;
}

/* Takes the driver off a device, and gives it back. */
void rebind(const std::string &device, const char *side)
{
	std::ofstream{driver / "unbind"} << device;
	std::ofstream{driver / "bind"} << device;
	prefer(device, side);
}

void rebind_now_and_then(const std::vector<std::string> &all, std::uint64_t seed, const std::atomic<bool> &stop)
{
	std::mt19937_64 random{seed};
	while (!stop) {
		for (auto left = random() % 200; left && !stop; --left)
			std::this_thread::sleep_for(5ms);
		const auto which = random() % all.size();
		rebind(all[which], which ? "1" : "0");
	}
}

/* Whoever sleeps is woken by a signal now and then, which is a test, too. */
void interrupt(std::vector<std::thread> &whom, const std::atomic<std::uint64_t> &running)
{
	while (running) {
		for (auto &each : whom)
			::pthread_kill(each.native_handle(), SIGUSR1);
		std::this_thread::sleep_for(7ms);
	}
}

void let_signals_come()
{
	struct sigaction nothing {};
	nothing.sa_handler = [](int) {};
	::sigaction(SIGUSR1, &nothing, nullptr);
	::sigaction(SIGIO, &nothing, nullptr);
	::signal(SIGPIPE, SIG_IGN);
}

void report(const tallies &counts)
{
	for (std::size_t i = 0; i < counts.size(); ++i) {
		std::printf("%-20s %9llu calls, %9llu succeeded\n", operations[i].name,
		            static_cast<unsigned long long>(counts[i].calls), static_cast<unsigned long long>(counts[i].good));
		EXPECT_GT(counts[i].good, 0U) << operations[i].name << " never succeeds: it tests nothing";
	}
}

TEST(random_operations, come_back)
{
	const auto threads = amount("operation_threads", 6);
	const auto seed = amount("operation_seed", 1);
	const auto all = devices();
	ASSERT_EQ(all.size(), 2U);
	let_signals_come();
	tallies counts;
	shared_descriptors shared;
	const until end;
	std::atomic<bool> stop = false;
	std::atomic<std::uint64_t> running = threads;
	std::vector<std::thread> users;
	for (std::uint64_t i = 0; i < threads; ++i) {
		users.emplace_back([&, i] {
			use(shared, 1000 * seed + i, end, counts);
			--running;
		});
	}
	std::thread binder{[&] { rebind_now_and_then(all, seed, stop); }};
	interrupt(users, running);
	stop = true;
	for (auto &each : users)
		each.join();
	binder.join();
	report(counts);
}

/*
 * At times two drivers were one side, each with sessions of its own numbers. So
 * the other side may have had, of the one, the very session that now begins
 * with the other: it is refused, its user is told at once, and opens again.
 */
void expect_connects(const std::string &name)
{
	for (int left = 3; left; --left) {
		const pair p{open_side(name, 0), open_side(name, 1)};
		bool over = false;
		EXPECT_TRUE(eventually([&] {
			const auto a = state(p.a), b = state(p.b);
			over = a == KVMCHAN_STATE_DISCONNECTED || b == KVMCHAN_STATE_DISCONNECTED;
			return over || (a == KVMCHAN_STATE_CONNECTED && b == KVMCHAN_STATE_CONNECTED);
		})) << name;
		if (!over)
			return;
	}
	ADD_FAILURE() << name << " does not connect:" << words(name, 0) << words(name, 1);
}

TEST(random_operations, leave_a_machine_that_works)
{
	const auto all = devices();
	for (std::size_t i = 0; i < all.size(); ++i)
		prefer(all[i], i ? "1" : "0");
	std::ofstream{"/sys/module/kvmchan/parameters/busy_poll_us"} << KVMCHAN_SPIN_DEFAULT_US;
	for (const char *name : {"stream", "small", "asym", "packet4k"}) {
		await_both(name);
		expect_connects(name);
		expect_works(name);
	}
}

} // namespace
