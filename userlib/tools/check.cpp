// SPDX-License-Identifier: MIT
// "kvmchan check": a transfer that is checked byte by byte, to try a set-up.
#include <atomic>
#include <bit>
#include <chrono>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "check_stream.hpp"
#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"
#include "memory_size.hpp"

namespace kvmchan::tools {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t largest_chunk = 8U << 20;

struct check_options {
	std::string direction;
	endpoint_argument end;
	std::string bytes = "64M";
	std::uint64_t seed = 1;
	bool progress = false;
	bool as_json = false;
};

/* What a direction has moved, for the progress bar, and how it ended. */
struct result {
	std::atomic<std::uint64_t> moved{0};
	std::uint64_t calls = 0;
	std::string digest;
	double seconds = 0;
	std::exception_ptr error;
};

[[noreturn]] void wrong(const std::string &text)
{
	throw std::runtime_error{text};
}

/* As many small ones as large ones, in powers of two. */
std::size_t random_chunk(std::mt19937_64 &random, std::size_t most)
{
	std::uniform_int_distribution<int> bits{0, static_cast<int>(std::bit_width(most)) - 1};
	const std::size_t least = std::size_t{1} << bits(random);

	return std::min(least + random() % least, most);
}

void send_stream(channel &to, std::uint64_t total, std::uint64_t seed, result &out)
{
	const bool packet = to.mode() == channel_mode::packet;
	const std::size_t most = packet ? std::min(to.max_record(), largest_chunk) : largest_chunk;
	std::mt19937_64 random{seed + 1};
	check_stream bytes{seed};
	std::vector<std::byte> chunk;

	while (bytes.position() < total) {
		chunk.resize(std::min<std::uint64_t>(random_chunk(random, most), total - bytes.position()));
		bytes.fill(chunk);
		packet ? to.send(chunk) : to.write_all(chunk);
		out.moved = bytes.position();
		++out.calls;
	}
	to.shutdown_write();
	out.digest = bytes.digest();
}

void recv_stream(channel &from, std::uint64_t total, std::uint64_t seed, result &out)
{
	const bool packet = from.mode() == channel_mode::packet;
	std::mt19937_64 random{seed + 2};
	check_stream bytes{seed};
	std::vector<std::byte> buffer(packet ? from.info().rx_size : largest_chunk);

	for (;;) {
		const auto room = std::span{buffer}.first(packet ? buffer.size() : random_chunk(random, buffer.size()));
		const std::uint64_t at = bytes.position();
		const std::size_t n = from.read_some(room);

		if (!n)
			break;
		if (const auto bad = bytes.compare(room.first(n)))
			wrong(fmt::format("byte {} is {:#04x} and does not belong there", at + *bad,
			                  static_cast<unsigned>(room[*bad])));
		out.moved = bytes.position();
		++out.calls;
	}
	if (bytes.position() != total)
		wrong(fmt::format("the peer ended after {} of {} bytes (--bytes has to be the same on both ends)",
		                  bytes.position(), total));
	out.digest = bytes.digest();
}

template <typename Move>
std::thread start(result &out, Move move)
{
	return std::thread{[&out, move] {
		const auto begin = clock::now();

		try {
			move();
		} catch (...) {
			out.error = std::current_exception();
		}
		out.seconds = std::chrono::duration<double>(clock::now() - begin).count();
	}};
}

/* Draws until it is told that all is over. */
class progress_bar {
public:
	progress_bar(std::uint64_t total, std::vector<const result *> of) : total_{total}, of_{std::move(of)}
	{
		thread_ = std::thread{[this] { run(); }};
	}
	~progress_bar()
	{
		over_ = true;
		over_.notify_all();
		thread_.join();
		fmt::print(stderr, "\r\033[K");
	}

private:
	void run()
	{
		while (!over_) {
			draw();
			std::this_thread::sleep_for(std::chrono::milliseconds{100});
		}
	}

	void draw()
	{
		constexpr std::uint64_t width = 40;
		std::uint64_t moved = 0;

		for (const result *one : of_)
			moved += one->moved;
		const std::uint64_t all = std::max<std::uint64_t>(total_ * of_.size(), 1);
		const double seconds = std::chrono::duration<double>(clock::now() - begin_).count();

		fmt::print(stderr, "\r[{:<{}}] {:>3}%  {:.1f} MB/s ", std::string(moved * width / all, '#'), width,
		           moved * 100 / all, static_cast<double>(moved) / seconds / 1e6);
		std::fflush(stderr);
	}

	std::uint64_t total_;
	std::vector<const result *> of_;
	clock::time_point begin_ = clock::now();
	std::atomic<bool> over_{false};
	std::thread thread_;
};

void report(const char *what, const result &of, bool as_json)
{
	const double rate = static_cast<double>(of.moved) / std::max(of.seconds, 1e-9) / 1e6;

	if (as_json)
		fmt::print("{}\n", json{{"direction", what},
		                        {"bytes", of.moved.load()},
		                        {"calls", of.calls},
		                        {"seconds", of.seconds},
		                        {"megabytes_per_second", rate},
		                        {"sha256", of.digest}}
		                           .dump());
	else
		fmt::print("{} {} bytes in {} calls, {:.3f} s, {:.1f} MB/s\nsha256 {}\n", what, of.moved.load(), of.calls,
		           of.seconds, rate, of.digest);
}

void check(const check_options &options)
{
	const std::uint64_t total = parse_size(options.bytes);
	const bool sends = options.direction != "recv", receives = options.direction != "send";
	channel_options how;

	how.read = receives;
	how.write = sends;
	how.side = options.end.side();
	channel end = options.end.get().open(how);
	/* Each side has bytes of its own. */
	const std::uint64_t own = options.seed * 2 + end.side(), theirs = options.seed * 2 + 1 - end.side();
	result sent, received;
	std::vector<const result *> active;
	std::thread sender, receiver;

	if (sends)
		active.push_back(&sent);
	if (receives)
		active.push_back(&received);
	{
		std::optional<progress_bar> bar;

		if (options.progress || ::isatty(STDERR_FILENO))
			bar.emplace(total, active);
		if (sends)
			sender = start(sent, [&] { send_stream(end, total, own, sent); });
		if (receives)
			receiver = start(received, [&] { recv_stream(end, total, theirs, received); });
		if (sends)
			sender.join();
		if (receives)
			receiver.join();
	}
	for (const result *one : active)
		if (one->error)
			std::rethrow_exception(one->error);
	if (sends)
		report("sent", sent, options.as_json);
	if (receives)
		report("received", received, options.as_json);
}

} // namespace

void add_check_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand(
		"check", "Send pseudo-random bytes, or receive and check them, in chunks of random sizes;\n"
		         "the same command with the same seed and size runs at the other end");
	auto options = std::make_shared<check_options>();

	command.add_option("direction", options->direction, "send, recv, or both at once")
		->required()
		->check(CLI::IsMember({"send", "recv", "both"}));
	options->end.add_to(command);
	command.add_option("-b,--bytes", options->bytes, "How many, each way")->capture_default_str();
	command.add_option("-s,--seed", options->seed, "What the bytes are made from")->capture_default_str();
	command.add_flag("--progress", options->progress, "Draw a bar although stderr is no terminal");
	command.add_flag("--json", options->as_json, "Report as JSON, one object a direction");
	on_run(command, [options] { check(*options); });
}

} // namespace kvmchan::tools
