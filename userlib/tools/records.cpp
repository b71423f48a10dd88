// SPDX-License-Identifier: MIT
// "kvmchan send" and "kvmchan recv": records of packet channels.
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "describe.hpp"
#include "endpoint.hpp"
#include "stdio_bytes.hpp"

namespace kvmchan::tools {
namespace {

struct send_options {
	endpoint_argument end;
	std::vector<std::string> records;
	std::vector<std::string> files;
	bool lines = false;
	std::uint64_t count = 1;
};

channel open_packet(const endpoint &end, bool writes, std::optional<unsigned> side)
{
	channel_options how;

	how.read = !writes;
	how.write = writes;
	how.side = side;
	channel made = end.open(how);

	if (made.mode() != channel_mode::packet)
		throw std::system_error{std::make_error_code(std::errc::not_supported),
		                        end.text() + " is a stream: use \"kvmchan connect\""};
	return made;
}

void send_one(channel &to, std::span<const std::byte> record, const std::string &what)
{
	std::error_code ec;

	to.send(record, ec);
	if (ec == std::errc::message_size)
		throw std::system_error{ec, fmt::format("{} has {} bytes; the longest record here has {}", what, record.size(),
		                                        to.max_record())};
	if (ec == std::errc::invalid_argument)
		throw std::system_error{ec, what + " is empty; a record has at least one byte"};
	if (ec)
		throw std::system_error{ec, what};
}

std::vector<std::byte> read_all_input()
{
	std::vector<std::byte> all, buffer(stdio_buffer);

	while (const std::size_t n = read_input(buffer))
		all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
	return all;
}

std::string read_file(const std::string &path)
{
	std::ifstream file{path, std::ios::binary};
	std::string all{std::istreambuf_iterator<char>{file}, {}};

	if (!file.good() && !file.eof())
		throw std::system_error{errno ? errno : EIO, std::system_category(), path};
	return all;
}

std::span<const std::byte> bytes_of(const std::string &text)
{
	return std::as_bytes(std::span{text});
}

void send_lines(channel &to)
{
	const auto all = read_all_input();
	std::span<const std::byte> rest = all;
	std::size_t number = 0;

	while (!rest.empty()) {
		const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
		const auto length = static_cast<std::size_t>(end - rest.begin());

		++number;
		if (length)
			send_one(to, rest.first(length), "line " + std::to_string(number));
		rest = rest.subspan(std::min(length + 1, rest.size()));
	}
}

void send(const send_options &options)
{
	channel to = open_packet(options.end.get(), true, options.end.side());

	for (std::uint64_t i = 0; i < options.count; ++i) {
		for (const std::string &record : options.records)
			send_one(to, bytes_of(record), "\"" + record + "\"");
		for (const std::string &path : options.files)
			send_one(to, bytes_of(read_file(path)), path);
	}
	if (!options.records.empty() || !options.files.empty())
		return;
	options.lines ? send_lines(to) : send_one(to, read_all_input(), "standard input");
}

struct recv_options {
	endpoint_argument end;
	std::uint64_t count = 0;
	std::string separator = "\\n";
	std::string directory;
	bool as_json = false;
};

/* "\n", "\0" and "\t" are what they look like. */
std::string unescape(const std::string &text)
{
	if (text == "\\n")
		return "\n";
	if (text == "\\t")
		return "\t";
	return text == "\\0" ? std::string(1, '\0') : text;
}

void put_record(const recv_options &options, std::span<const std::byte> record, std::uint64_t number)
{
	if (options.as_json) {
		const std::string text{reinterpret_cast<const char *>(record.data()), record.size()};
		std::string hex;

		for (const std::byte b : record)
			hex += fmt::format("{:02x}", static_cast<unsigned>(b));
		fmt::print("{}\n", json{{"number", number}, {"length", record.size()}, {"hex", hex}}.dump());
		std::fflush(stdout);
	} else if (!options.directory.empty()) {
		std::ofstream file{options.directory + "/" + std::to_string(number), std::ios::binary};

		file.write(reinterpret_cast<const char *>(record.data()), static_cast<std::streamsize>(record.size()));
		if (!file.flush())
			throw std::system_error{errno ? errno : EIO, std::system_category(),
			                        options.directory + "/" + std::to_string(number)};
	} else {
		const std::string separator = unescape(options.separator);

		write_output(record);
		write_output(bytes_of(separator));
	}
}

void recv(const recv_options &options)
{
	channel from = open_packet(options.end.get(), false, options.end.side());
	std::vector<std::byte> buffer(from.info().rx_size);

	for (std::uint64_t number = 1; options.count == 0 || number <= options.count; ++number) {
		const auto record = from.recv(buffer);

		if (!record && options.count)
			throw std::system_error{std::make_error_code(std::errc::no_message),
			                        fmt::format("the peer went after {} of {} records", number - 1, options.count)};
		if (!record)
			return;
		put_record(options, std::span{buffer}.first(record->copied), number);
	}
}

} // namespace

void add_send_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("send", "Send records through a packet channel");
	auto options = std::make_shared<send_options>();

	options->end.add_to(command);
	command.add_option("records", options->records, "A record each; without any, standard input is one record");
	command.add_option("-f,--file", options->files, "Send this file as a record; may be given again");
	command.add_flag("--lines", options->lines, "Each line of standard input that is not empty is a record");
	command.add_option("-n,--count", options->count, "Send all that is named so many times")->capture_default_str();
	on_run(command, [options] { send(*options); });
}

void add_recv_command(CLI::App &app)
{
	CLI::App &command = *app.add_subcommand("recv", "Receive records from a packet channel");
	auto options = std::make_shared<recv_options>();

	options->end.add_to(command);
	command.add_option("-n,--count", options->count, "End after so many; 0: when the peer goes")->capture_default_str();
	command.add_option("--separator", options->separator, R"(What is printed after each: text, \n, \t or \0)")
		->capture_default_str();
	command.add_option("-d,--directory", options->directory, "Write each to a file of its own there: 1, 2, 3")
		->check(CLI::ExistingDirectory);
	command.add_flag("--json", options->as_json, "One JSON object a line, with the bytes in hexadecimal");
	on_run(command, [options] { recv(*options); });
}

} // namespace kvmchan::tools
