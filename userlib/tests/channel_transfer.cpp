// SPDX-License-Identifier: MIT
// Many bytes and records through channels that poll, between threads and
// processes.
#include <thread>

#include <sys/wait.h>

#include <gtest/gtest.h>

#include "channel_mover.hpp"

namespace kvmchan::test {
namespace {

/* Several times round the ring. */
#ifdef KVMCHAN_SANITIZED
constexpr std::size_t some = 500'000, many = 10'000'000;
#else
constexpr std::size_t some = 2'000'000, many = 40'000'000;
#endif
constexpr auto stream = channel_mode::stream, packet = channel_mode::packet;

std::string name_of(const testing::TestParamInfo<transfer> &p)
{
	return p.param.name();
}

const transfer window_transfers[] = {
	{stream, 4096, how::blocking, some, calls::windows},
	{stream, 4096, how::level_triggered, some, calls::windows},
	{stream, 4096, how::edge_triggered, some, calls::windows},
	{packet, 4096, how::blocking, some, calls::windows},
	{packet, 4096, how::edge_triggered, some, calls::windows},
	{stream, 4U << 20, how::blocking, many, calls::windows},
	{stream, 4U << 20, how::edge_triggered, many, calls::windows},
	{packet, 4U << 20, how::edge_triggered, many, calls::windows},
	{packet, 4096, how::blocking, some, calls::batches},
	{packet, 4096, how::edge_triggered, some, calls::batches},
	{packet, 1U << 20, how::blocking, many, calls::batches},
};

class channel_transfer : public testing::TestWithParam<transfer> {};

TEST_P(channel_transfer, between_threads)
{
	const transfer &what = GetParam();
	const test_region where{what.mode, what.ring};
	channel a = where.end(0), b = where.end(1);
	std::thread writer{[&] { what.write(a, 7); }};

	EXPECT_EQ(what.read(b, 7), what.total);
	writer.join();
}

TEST_P(channel_transfer, between_processes)
{
	const transfer &what = GetParam();
	const test_region where{what.mode, what.ring};
	const pid_t child = ::fork();

	if (child == 0) {
		try {
			channel a = where.end(0);

			what.write(a, 7);
		} catch (...) {
			::_exit(1);
		}
		::_exit(0);
	}
	int status = 0;

	{
		channel b = where.end(1);

		EXPECT_EQ(what.read(b, 7), what.total);
	}
	::waitpid(child, &status, 0);
	EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(
	all, channel_transfer,
	testing::Values(transfer{stream, 4096, how::blocking, some}, transfer{stream, 4096, how::level_triggered, some},
                        transfer{stream, 4096, how::edge_triggered, some}, transfer{packet, 4096, how::blocking, some},
                        transfer{packet, 4096, how::edge_triggered, some},
                        transfer{stream, 4U << 20, how::blocking, many},
                        transfer{stream, 4U << 20, how::edge_triggered, many},
                        transfer{packet, 4U << 20, how::blocking, many},
                        transfer{packet, 4U << 20, how::edge_triggered, many}),
	name_of);

INSTANTIATE_TEST_SUITE_P(windows, channel_transfer, testing::ValuesIn(window_transfers), name_of);

/* Two blocking threads an end, as a proxy would use it. */
class channel_duplex : public testing::TestWithParam<transfer> {};

TEST_P(channel_duplex, both_ways_at_once)
{
	const transfer &what = GetParam();
	const test_region where{what.mode, what.ring};
	channel a = where.end(0), b = where.end(1);
	std::thread ab{[&] { what.write(a, 7); }}, ba{[&] { what.write(b, 8); }};
	std::size_t at_a = 0;
	std::thread reader{[&] { at_a = what.read(a, 8); }};

	EXPECT_EQ(what.read(b, 7), what.total);
	ab.join();
	ba.join();
	reader.join();
	EXPECT_EQ(at_a, what.total);
}

INSTANTIATE_TEST_SUITE_P(all, channel_duplex,
                         testing::Values(transfer{stream, 4096, how::blocking, some},
                                         transfer{packet, 4096, how::blocking, some},
                                         transfer{stream, 4U << 20, how::blocking, many},
                                         transfer{packet, 4U << 20, how::blocking, many}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(windows, channel_duplex,
                         testing::Values(transfer{stream, 4096, how::blocking, some, calls::windows},
                                         transfer{packet, 4096, how::blocking, some, calls::windows},
                                         transfer{packet, 4096, how::blocking, some, calls::batches}),
                         name_of);

/* An echo in one event loop an end, both directions on one handle. */
TEST(channel_loop, echo_on_one_handle)
{
	const test_region where;
	channel a = where.end(0, true), b = where.end(1, true);
	constexpr std::size_t total = 1'000'000;
	std::thread echo{[&] {
		sleeper wait{b, how::edge_triggered};
		std::vector<std::byte> buffer(5000);
		std::span<const std::byte> pending;
		bool ended = false;

		while (!ended || !pending.empty()) {
			std::error_code ec;

			if (pending.empty()) {
				const std::size_t n = b.read_some(buffer, ec);

				pending = std::span{buffer}.first(n);
				ended = !ec && n == 0;
			} else {
				pending = pending.subspan(b.write_some(pending, ec));
			}
			if (ec)
				wait.sleep();
		}
		b.shutdown_write();
	}};
	sleeper wait{a, how::edge_triggered};
	byte_stream out{1}, in{1};
	std::vector<std::byte> buffer(7000), pending;
	std::size_t sent = 0, received = 0;

	for (bool ended = false; !ended;) {
		bool moved = false;
		std::error_code ec;

		if (pending.empty() && sent < total) {
			pending.resize(std::min<std::size_t>(total - sent, 3000));
			out.fill(pending);
			sent += pending.size();
		}
		if (!pending.empty()) {
			const std::size_t n = a.write_some(pending, ec);

			moved |= n > 0;
			pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(n));
			if (pending.empty() && sent == total)
				a.shutdown_write();
		}
		const std::size_t n = a.read_some(buffer, ec);

		ended = !ec && n == 0;
		moved |= n > 0;
		for (std::size_t i = 0; i < n; ++i)
			ASSERT_EQ(buffer[i], in.next()) << received + i;
		received += n;
		if (!moved && !ended)
			wait.sleep();
	}
	echo.join();
	EXPECT_EQ(received, total);
}

} // namespace
} // namespace kvmchan::test
