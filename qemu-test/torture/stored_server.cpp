// SPDX-License-Identifier: MIT
#include "stored_server.hpp"

#include "error.hpp"
#include "region_server.hpp"

#include "control_service.hpp"

#include <fmt/format.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

namespace torture {

namespace {

constexpr unsigned vectors = 3;
constexpr auto control_patience = harness::nominal::command;

std::vector<std::string> command_line(const std::filesystem::path &socket, const std::vector<std::string> &more)
{
	std::vector<std::string> words{harness::kvmchan_tool(), "serve", "-v", "-F", "-q", "--memfd", "-S", socket,
	                               "-l", "2M", "-n", std::to_string(vectors), "--vm", "guest"};
	words.insert(words.end(), more.begin(), more.end());
	return words;
}

std::string text_of(const std::filesystem::path &file)
{
	std::ifstream in{file};
	return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

stored_server::stored_server(const std::vector<std::string> &words)
	: process_{command_line(socket_, words), dir_ / "output", &store_}
{
	process_.start();
	wait_served();
}

harness::ivshmem_doorbell stored_server::guest_device(std::string id, std::string bus) const
{
	return {.id = std::move(id), .socket = socket_.string() + ".guest", .vectors = vectors, .bus = std::move(bus)};
}

nlohmann::json stored_server::status() const
{
	const auto answer = kvmchan::control_request(socket_.string() + ".ctl", {{"cmd", "status"}},
	                                             harness::stretched(control_patience));
	return answer.at("region");
}

std::size_t stored_server::peers() const
{
	std::size_t count = 0;
	const auto now = status();
	for (const auto &peer : now.at("peers"))
		count += peer.at("connected").get<bool>() ? 1U : 0U;
	return count;
}

void stored_server::wait_served()
{
	const auto deadline = harness::deadline_after(harness::nominal::command);
	for (;;) {
		try {
			status();
			return;
		} catch (const std::exception &e) {
			if (!process_.running() || harness::clock::now() > deadline)
				throw harness::error{fmt::format("the server does not answer: {}\n{}", e.what(),
				                                 text_of(dir_ / "output"))};
		}
		std::this_thread::sleep_for(std::chrono::milliseconds{2});
	}
}

std::size_t stored_server::times_followed() const
{
	std::size_t count = 0;
	const std::string text = text_of(dir_ / "output"), what = "of a former server";
	for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
		++count;
	return count;
}

void stored_server::wait_followed(std::size_t before)
{
	const auto deadline = harness::deadline_after(harness::nominal::command);
	while (times_followed() == before) {
		if (!process_.running() || harness::clock::now() > deadline)
			throw harness::error{"no server follows the former one\n" + text_of(dir_ / "output")};
		std::this_thread::sleep_for(std::chrono::milliseconds{2});
	}
	wait_served();
}

void stored_server::kill9()
{
	// When it answers it has also written down what it did before.
	status();
	process_.end(SIGKILL);
}

void stored_server::follow()
{
	const auto before = times_followed();
	process_.start();
	wait_followed(before);
}

void stored_server::restart()
{
	const auto before = times_followed();
	kvmchan::control_request(socket_.string() + ".ctl", {{"cmd", "restart"}}, harness::stretched(control_patience));
	wait_followed(before);
}

std::size_t stored_server::memory() const
{
	std::ifstream in{fmt::format("/proc/{}/status", process_.pid())};
	for (std::string line; std::getline(in, line);) {
		if (line.starts_with("VmRSS:"))
			return std::stoul(line.substr(6));
	}
	return 0;
}

} // namespace torture
