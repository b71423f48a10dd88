// SPDX-License-Identifier: MIT
#include "profile.hpp"

#include "error.hpp"
#include "host_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include <sys/stat.h>

namespace bench {

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

/* What `nm` and /proc/kallsyms print: address, type, name, and a module's name. */
void read_symbols(std::map<std::uint64_t, std::string> &to, const std::string &text)
{
	std::istringstream lines{text};
	for (std::string line; std::getline(lines, line);) {
		std::istringstream words{line};
		std::uint64_t address = 0;
		char type = 0;
		std::string name;
		if (words >> std::hex >> address >> type && std::getline(words >> std::ws, name) && std::string_view{"tTwWi"}.find(type) != std::string_view::npos)
			to[address] = name;
	}
}

std::string file_name(std::string text)
{
	std::ranges::replace_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '-');
	return text + ".txt";
}

} // namespace

profile::profile(fs::path directory) : directory_{std::move(directory)}, fifo_{fs::absolute(directory_) / "orders"}
{
	fs::create_directories(directory_);
	fs::remove(fifo_);
	if (mkfifo(fifo_.c_str(), 0600) != 0)
		throw harness::error{"cannot make " + fifo_.string()};
	const auto names = harness::run_host({"nm", "--demangle", BENCH_AGENT});
	if (!names)
		throw harness::error{"nm " BENCH_AGENT " failed"};
	read_symbols(symbols_, names.out);
}

profile::~profile()
{
	std::error_code gone_is_fine;
	fs::remove(fifo_, gone_is_fine);
}

std::vector<std::string> profile::qemu_args() const
{
	return {"-plugin", fmt::format("{},fifo={}", BENCH_PLUGIN, fifo_.string())};
}

void profile::learn_symbols(harness::guest &machine)
{
	read_symbols(symbols_, machine.check("grep -i ' [tw] ' /proc/kallsyms"));
}

void profile::order(const std::string &line) const
{
	std::ofstream to{fifo_};
	to << line << std::endl;
	if (!to)
		throw harness::error{"QEMU's plugin does not take orders"};
}

void profile::begin()
{
	order("clear");
}

std::string profile::function_at(std::uint64_t address) const
{
	const auto above = symbols_.upper_bound(address);
	return above == symbols_.begin() ? "?" : std::prev(above)->second;
}

std::map<std::string, std::uint64_t> profile::by_function(const fs::path &counts) const
{
	std::map<std::string, std::uint64_t> out;
	std::ifstream in{counts};
	std::uint64_t address = 0, instructions = 0, times = 0;
	while (in >> address >> instructions >> times)
		out[function_at(address)] += instructions * times;
	return out;
}

void profile::end(const std::string &name, std::uint64_t operations)
{
	const auto counts = fs::absolute(directory_) / "counts";
	order("write " + counts.string());
	const auto deadline = harness::deadline_after(harness::nominal::command);
	while (!fs::exists(counts)) {
		if (harness::clock::now() > deadline)
			throw harness::deadline_error{"QEMU's plugin writes nothing"};
		std::this_thread::sleep_for(10ms);
	}
	const auto functions = by_function(counts);
	fs::remove(counts);
	std::vector<std::pair<std::uint64_t, std::string>> sorted;
	std::uint64_t all = 0;
	for (const auto &[function, instructions] : functions) {
		sorted.emplace_back(instructions, function);
		all += instructions;
	}
	std::ranges::sort(sorted, std::greater{});
	const auto each = [&](std::uint64_t instructions) {
		return static_cast<double>(instructions) / static_cast<double>(std::max<std::uint64_t>(operations, 1));
	};
	std::ofstream out{directory_ / file_name(name)};
	out << fmt::format("{}: instructions of the guest for each of {} messages\n{:10.1f}  all\n", name, operations, each(all));
	for (const auto &[instructions, function] : sorted)
		if (each(instructions) >= 0.5)
			out << fmt::format("{:10.1f}  {}\n", each(instructions), function);
}

} // namespace bench
