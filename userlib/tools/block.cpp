// SPDX-License-Identifier: MIT
// "kvmchan memory": the bytes of a memory block, and its signals.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "command.hpp"
#include "endpoint.hpp"
#include "kvmchan/memory.hpp"
#include "stdio_bytes.hpp"

namespace kvmchan::tools {
namespace {

struct memory_options {
	endpoint_argument block;
	bool read = false;
	bool write = false;
	bool signal = false;
	bool wait = false;
	double timeout = -1;
	std::uint64_t offset = 0;
	std::optional<std::uint64_t> length;
};

memory_block open_block(const endpoint &end)
{
	return end.region ? memory_block{end.region->open(), end.name} : memory_block{end.name};
}

std::span<std::byte> part_of(const memory_block &block, const memory_options &options)
{
	const auto all = block.bytes();

	if (options.offset > all.size() || options.length.value_or(0) > all.size() - options.offset)
		throw std::system_error{std::make_error_code(std::errc::result_out_of_range),
		                        "the block has " + std::to_string(all.size()) + " bytes"};
	return all.subspan(options.offset, options.length.value_or(all.size() - options.offset));
}

void read_in(std::span<std::byte> to)
{
	std::byte more;

	while (!to.empty()) {
		const std::size_t n = read_input(to);

		if (!n)
			return;
		to = to.subspan(n);
	}
	if (read_input({&more, 1}))
		throw std::system_error{std::make_error_code(std::errc::file_too_large),
		                        "standard input is longer than the block"};
}

/* Through a private copy: what is written shall not change under write(). */
void write_out(std::span<const std::byte> bytes)
{
	std::vector<std::byte> copy;

	while (!bytes.empty()) {
		const auto piece = bytes.first(std::min(bytes.size(), stdio_buffer));

		copy.assign(piece.begin(), piece.end());
		write_output(copy);
		bytes = bytes.subspan(piece.size());
	}
}

void wait_for_signal(memory_block &block, double seconds)
{
	const auto limit = seconds < 0 ? std::chrono::nanoseconds{-1}
	                               : std::chrono::duration_cast<std::chrono::nanoseconds>(
						 std::chrono::duration<double>(seconds));
	const std::uint64_t seen = block.count();

	if (block.wait(seen, limit) == seen)
		throw std::system_error{std::make_error_code(std::errc::timed_out), "no signal from the peer"};
}

void use_memory(const memory_options &options)
{
	memory_block block = open_block(options.block.get());

	if (options.wait)
		wait_for_signal(block, options.timeout);
	if (options.write)
		read_in(part_of(block, options));
	if (options.signal)
		block.signal();
	if (options.read)
		write_out(part_of(block, options));
}

} // namespace

void add_memory_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("memory", "Read or write a memory block; send or wait for its signal");
	auto options = std::make_shared<memory_options>();

	options->block.add_to(command);
	CLI::Option *const wait = command.add_flag("--wait", options->wait, "First wait for the peer's next signal");

	command.add_option("--timeout", options->timeout, "Seconds to wait; without it, for ever")->needs(wait);
	command.add_flag("--write", options->write, "Then copy standard input into the block");
	command.add_flag("--signal", options->signal, "Then signal the peer");
	command.add_flag("--read", options->read, "Then copy the block to standard output");
	command.add_option("--offset", options->offset, "Begin so many bytes into the block");
	command.add_option("--length", options->length, "So many bytes; without it, to the end");
	on_run(command, [options] { use_memory(*options); });
}

} // namespace kvmchan::tools
