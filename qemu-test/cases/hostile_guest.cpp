// SPDX-License-Identifier: MIT
/*
 * Processes of the host under a guest that scribbles over their region and
 * rings them without rest: each session that meets a violation ends with a
 * sticky error, nothing else of the process is disturbed, the server lives, and
 * when the guest is itself again so are the channels. hostile_minutes in the
 * environment: how long (default: 8 seconds).
 */
#include "guest_case.hpp"
#include "region_server.hpp"

#include <kvmchan/channel.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <thread>

namespace {

using namespace harness;
using namespace std::chrono_literals;
using kvmchan::channel;

/** Uses a channel in all ways, over and over, whatever its peer does. */
class victim {
public:
	victim(const kvmchan::region &where, std::string name, std::uint64_t seed)
	    : where_{where}, name_{std::move(name)}, random_{seed},
	      thread_{[this](const std::stop_token &stop) { live(stop); }}
	{
	}

	std::uint64_t calls() const { return calls_; }
	std::uint64_t sessions() const { return sessions_; }
	std::uint64_t violations() const { return violations_; }

private:
	/* The table may be spoilt just now: then it cannot be opened. */
	void live(const std::stop_token &stop)
	{
		while (!stop.stop_requested()) {
			try {
				channel end{where_, name_, {.non_blocking = true}};
				while (!stop.stop_requested() && session(end, stop))
					end.reconnect();
			} catch (const std::system_error &) {
				std::this_thread::sleep_for(1ms);
			}
		}
	}

	/* Until its end; whether there may be another one. */
	bool session(channel &end, const std::stop_token &stop)
	{
		++sessions_;
		for (int left = 2000; left && !stop.stop_requested(); --left) {
			std::error_code ec;
			any_call(end, ec);
			if (!ec || ec == std::errc::operation_would_block)
				continue;
			if (ec == std::errc::protocol_error)
				violated(end);
			return ec != std::errc::no_such_device;
		}
		return true;
	}

	void any_call(channel &end, std::error_code &ec)
	{
		static constexpr std::array stream{&victim::read, &victim::write, &victim::peek, &victim::reserve,
		                                   &victim::wait, &victim::describe};
		static constexpr std::array packets{&victim::recv, &victim::send, &victim::peek, &victim::reserve,
		                                    &victim::wait, &victim::describe};
		const auto &all = end.max_record() ? packets : stream;
		++calls_;
		(this->*all[random_() % all.size()])(end, ec);
	}

	/* Whatever is called now, as often as one likes; but the channel can go altogether. */
	void violated(channel &end)
	{
		++violations_;
		for (int i = 0; i < 3; ++i) {
			std::error_code ec;
			end.max_record() ? recv(end, ec) : read(end, ec);
			EXPECT_TRUE(ec == std::errc::protocol_error || ec == std::errc::no_such_device) << ec.message();
			end.max_record() ? send(end, ec) : write(end, ec);
			EXPECT_TRUE(ec == std::errc::protocol_error || ec == std::errc::no_such_device) << ec.message();
		}
	}

	std::size_t some() { return 1 + random_() % buffer_.size(); }
	std::span<std::byte> part() { return std::span{buffer_}.first(some()); }

	void read(channel &end, std::error_code &ec) { EXPECT_LE(end.read_some(buffer_, ec), buffer_.size()); }
	void write(channel &end, std::error_code &ec) { EXPECT_LE(end.write_some(part(), ec), buffer_.size()); }
	void recv(channel &end, std::error_code &ec)
	{
		if (const auto record = end.recv(buffer_, ec)) {
			EXPECT_LE(record->copied, buffer_.size());
		}
		if (ec == std::errc::message_size)
			ec.clear();
	}
	void send(channel &end, std::error_code &ec)
	{
		end.send(part(), ec);
	}
	/* All of the window has to be memory. */
	void peek(channel &end, std::error_code &ec)
	{
		const auto window = end.peek(1, ec);
		sum_ = std::accumulate(window.begin(), window.end(), sum_,
		                       [](unsigned sum, std::byte next) { return sum + static_cast<unsigned>(next); });
		if (!ec && !window.empty())
			end.consume(end.max_record() ? window.size() : 1 + random_() % window.size(), ec);
	}
	void reserve(channel &end, std::error_code &ec)
	{
		const auto window = end.reserve(some(), ec);
		std::memset(window.data(), 0x55, window.size());
		if (!ec)
			end.commit(std::min(window.size(), some()), ec);
		if (ec == std::errc::result_out_of_range)
			ec.clear();
	}
	void wait(channel &end, std::error_code &ec)
	{
		end.wait_for(kvmchan::event::readable | kvmchan::event::writable, 1ms, ec);
	}
	void describe(channel &end, std::error_code &)
	{
		EXPECT_LE(end.data_ready(), ring_size);
		EXPECT_LE(end.info().tx_space, ring_size);
	}

	static constexpr std::size_t ring_size = 64 << 10;

	const kvmchan::region &where_;
	std::string name_;
	std::mt19937_64 random_;
	std::array<std::byte, 3000> buffer_{};
	unsigned sum_ = 0;
	std::atomic<std::uint64_t> calls_ = 0, sessions_ = 0, violations_ = 0;
	std::jthread thread_;
};

/** Reads the region's table anew, again and again, as who attaches does. */
class newcomer {
public:
	explicit newcomer(std::filesystem::path socket)
	    : thread_{[socket = std::move(socket)](const std::stop_token &stop) {
		      while (!stop.stop_requested()) {
			      try {
				      static_cast<void>(kvmchan::region::attach(socket).slots());
			      } catch (const std::system_error &) {
				      // What was read makes no sense just now.
			      }
			      std::this_thread::sleep_for(20ms);
		      }
	      }}
	{
	}

private:
	std::jthread thread_;
};

/** Bytes of a region that the guest does not have, between two threads of this process. */
class honest_pair {
public:
	explicit honest_pair(const kvmchan::region &where)
	    : from_{where, "c", {.side = 0}}, to_{where, "c", {.side = 1}}, reader_{[this] { check(); }},
	      writer_{[this](const std::stop_token &stop) { fill(stop); }}
	{
	}

	std::uint64_t bytes() const { return bytes_; }
	void end()
	{
		writer_.request_stop();
		writer_.join();
		reader_.join();
	}

private:
	using message = std::array<std::uint64_t, 512>;

	void fill(const std::stop_token &stop)
	{
		message next{};
		while (!stop.stop_requested()) {
			std::iota(next.begin(), next.end(), next.back() + 1);
			from_.write_all(std::as_bytes(std::span{next}));
		}
		from_.shutdown_write();
	}
	void check()
	{
		std::uint64_t expected = 1;
		message got;
		for (;;) {
			std::span<std::byte> rest = std::as_writable_bytes(std::span{got});
			while (!rest.empty()) {
				const auto n = to_.read_some(rest);
				if (!n)
					break;
				rest = rest.subspan(n);
			}
			if (!rest.empty()) {
				EXPECT_EQ(rest.size(), sizeof got) << "the end is not where the writer ended";
				return;
			}
			for (const auto each : got)
				ASSERT_EQ(each, expected++);
			bytes_ += sizeof got;
		}
	}

	channel from_, to_;
	std::atomic<std::uint64_t> bytes_ = 0;
	std::jthread reader_;
	std::jthread writer_;
};

class hostile_guest : public guest_case {
protected:
	static constexpr const char *channels = "[[region.channel]]\nname = \"stream\"\nsize = [\"64K\", \"64K\"]\n"
	                                        "[[region.channel]]\nname = \"packet\"\nmode = \"packet\"\nsize = [\"64K\", \"64K\"]\n";

	static std::size_t descriptors()
	{
		const std::filesystem::directory_iterator all{"/proc/self/fd"};
		return static_cast<std::size_t>(std::distance(begin(all), end(all)));
	}

	static std::chrono::seconds duration()
	{
		const char *minutes = std::getenv("hostile_minutes");
		return minutes ? std::chrono::minutes{std::stoul(minutes)} : std::chrono::seconds{8};
	}

	/* Takes the device from the driver, or gives it back. */
	static void drive(guest &g, const std::string &how)
	{
		g.check("cd /sys/bus/pci; for d in devices/*; do [ $(cat $d/vendor)$(cat $d/device) != 0x1af40x1110 ] || "
		        "echo ${d##*/} >drivers/kvmchan/" + how + "; done");
	}

	/* The server writes its table anew when there is a channel more. */
	void mend(const kvmchan::region &region)
	{
		const auto name = fmt::format("more{}", ++mended_);
		std::ofstream{server_.path("server.toml"), std::ios::app} << "[[region.channel]]\nname = \"" << name << "\"\n";
		server_.process().signal(SIGHUP);
		std::string why;
		const auto there = [&] {
			try {
				const auto all = region.slots();
				why = "no such slot";
				return std::ranges::any_of(all, [&](const auto &slot) { return slot.name == name; });
			} catch (const std::system_error &error) {
				why = error.what();
				return false;
			}
		};
		const auto limit = deadline_after(nominal::command);
		while (!there() && clock::now() < limit)
			std::this_thread::sleep_for(10ms);
		EXPECT_TRUE(there()) << why << '\n' << server_.process().out() << server_.process().err();
	}

	static void spoil(guest &g, const kvmchan::region &whose)
	{
		const auto time = duration() / 2;
		command program{"hostile_guest"};
		program.env["hostile_peer"] = std::to_string(whose.info().peer);
		program.env["hostile_vectors"] = std::to_string(vectors);
		program.env["hostile_seconds"] = std::to_string(time.count());
		fmt::print("{}", run_guest_tests(g, program, nominal::program + time).run.out);
	}

	static void expect_a_message(guest &g, channel end, const std::string &reader)
	{
		static constexpr std::string_view text = "after the storm";
		auto running = g.spawn(reader);
		const auto bytes = std::as_bytes(std::span{text});
		end.max_record() ? end.send(bytes) : end.write_all(bytes);
		end.shutdown_write();
		EXPECT_EQ(running.wait().out, text);
	}

	/* Half of the time. */
	void suffer(guest &g, const kvmchan::region &region)
	{
		const victim stream{region, "stream", 1}, packets{region, "packet", 2};
		const newcomer parser{server_.socket()};
		spoil(g, region);
		for (const auto *each : {&stream, &packets}) {
			fmt::print("{} calls, {} sessions, {} violations\n", each->calls(), each->sessions(), each->violations());
			EXPECT_GT(each->violations(), 0U) << "nothing was spoilt: this tested nothing";
		}
	}

	static constexpr unsigned vectors = 3;

	int mended_ = 0;
	region_server server_{{.size = "4M", .vectors = vectors, .toml = channels}};
	region_server elsewhere_{{.size = "4M", .args = {"--channel", "c"}}};
};

TEST_F(hostile_guest, harms_nobody_but_its_own_sessions)
{
	auto &g = boot({.devices = {server_.device("d0")}});
	const auto region = kvmchan::region::attach(server_.socket());
	const auto safe = kvmchan::region::attach(elsewhere_.socket());
	honest_pair honest{safe};
	drive(g, "unbind");
	// Two times, so that what there is only once is there when it is counted, but for a few that come late.
	std::array<std::size_t, 2> open{};
	for (auto &count : open) {
		suffer(g, region);
		count = descriptors();
		EXPECT_TRUE(server_.process().running()) << server_.process().err();
		mend(region);
	}
	EXPECT_LT(open[1], open[0] + 10) << "there were hundreds of sessions";
	fmt::print("{} MiB beside it\n", honest.bytes() >> 20);

	drive(g, "bind");
	for (const std::string name : {"stream", "packet", "more1"}) {
		const auto find = "until n=$(grep -lx " + name + " /sys/class/kvmchan/*/name); do usleep 20000; done; n=/dev/${n#/sys/class/kvmchan/}; n=${n%/name}; ";
		// What the storm left of a side passes for a session of it, until it opens the next time.
		g.check(find + ": <>$n");
		static_cast<void>(channel{region, name});
		expect_a_message(g, channel{region, name}, find + "cat $n");
	}
	honest.end();
	EXPECT_GT(honest.bytes(), 0U);
}

} // namespace
