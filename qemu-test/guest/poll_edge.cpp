// SPDX-License-Identifier: MIT
/*
 * Edge-triggered loops: what is read or written until EAGAIN is announced
 * again, every time. A lost wake-up shows as a loop that stands still.
 */
#include "node.hpp"

#include <atomic>
#include <thread>

#include <sys/epoll.h>

namespace {

using namespace node;

/* Sleeps in epoll_wait for one descriptor; throws when nothing comes. */
class edge {
public:
	edge(const unique_fd &fd, std::uint32_t events) : set_{::epoll_create1(EPOLL_CLOEXEC)}
	{
		epoll_event e{events | EPOLLET, {}};
		if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd.get(), &e) != 0)
			fail("epoll_ctl");
	}
	void wait(const char *what)
	{
		epoll_event e{};
		const auto limit = static_cast<int>(std::chrono::milliseconds{patience}.count());
		int n;
		while ((n = ::epoll_wait(set_.get(), &e, 1, limit)) < 0 && errno == EINTR) {
		}
		if (n != 1)
			fail(std::string{what} + " stands still", ETIMEDOUT);
		++waits;
	}
	std::uint64_t waits = 0;

private:
	unique_fd set_;
};

struct record {
	std::uint64_t number;
	std::uint64_t check;
};

record make(std::uint64_t number)
{
	return {number, number * 0x9e3779b97f4a7c15ULL};
}

/* Writes records 0 to count - 1, as fast as they go or in bursts. */
void write_records(const unique_fd &fd, std::uint64_t count, std::uint64_t burst)
{
	edge out{fd, EPOLLOUT};
	for (std::uint64_t i = 0; i < count;) {
		const record r = make(i);
		const auto n = ::write(fd.get(), &r, sizeof(r));
		if (n == sizeof(r)) {
			if (++i % burst == 0)
				std::this_thread::yield();
		} else if (n < 0 && errno == EAGAIN) {
			out.wait("the writer");
		} else {
			fail("write");
		}
	}
}

/* Reads until EAGAIN, then sleeps for the next edge. */
void read_records(const unique_fd &fd, std::uint64_t count)
{
	edge in{fd, EPOLLIN};
	for (std::uint64_t i = 0; i < count;) {
		record r{};
		const auto n = ::read(fd.get(), &r, sizeof(r));
		if (n == sizeof(r)) {
			const record expected = make(i++);
			if (r.number != expected.number || r.check != expected.check)
				fail("record " + std::to_string(i - 1) + " is " + std::to_string(r.number), EPROTO);
		} else if (n < 0 && errno == EAGAIN) {
			in.wait("the reader");
		} else {
			fail("read of " + std::to_string(n) + " bytes");
		}
	}
}

void run(const char *name, std::uint64_t count, std::uint64_t burst)
{
	const auto p = connect(name);
	std::exception_ptr error;
	std::thread writer{[&] {
		try {
			write_records(p.a, count, burst);
		} catch (...) {
			error = std::current_exception();
		}
	}};
	try {
		read_records(p.b, count);
	} catch (const std::exception &e) {
		// The writer may wait for this reader.
		give_up(e.what());
	}
	writer.join();
	if (error)
		std::rethrow_exception(error);
}

TEST(poll_edge, never_loses_one_of_many_records)
{
	run("packet4k", amount("edge_records", 1'000'000), 1 << 20);
}

TEST(poll_edge, never_loses_a_lonely_record)
{
	run("packet", amount("edge_records", 1'000'000) / 10, 1);
}

TEST(poll_edge, never_loses_bytes_of_a_stream)
{
	run("small", amount("edge_records", 1'000'000) / 10, 64);
}

/* Ping-pong: each wake-up carries one record, in either direction. */
TEST(poll_edge, never_loses_an_answer)
{
	const std::uint64_t rounds = amount("edge_records", 1'000'000) / 50;
	const auto p = connect("packet4k");
	const auto exchange = [rounds](const unique_fd &fd, bool first) {
		edge in{fd, EPOLLIN};
		for (std::uint64_t i = 0; i < rounds; ++i) {
			record r = make(i);
			if (first && ::write(fd.get(), &r, sizeof(r)) != sizeof(r))
				fail("write");
			while (::read(fd.get(), &r, sizeof(r)) < 0) {
				if (errno != EAGAIN)
					fail("read");
				in.wait("ping-pong");
			}
			if (r.number != i)
				fail("a wrong answer", EPROTO);
			if (!first && ::write(fd.get(), &r, sizeof(r)) != sizeof(r))
				fail("write");
		}
	};
	std::thread answering{[&] { exchange(p.b, false); }};
	exchange(p.a, true);
	answering.join();
}

} // namespace
