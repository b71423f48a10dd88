// SPDX-License-Identifier: MIT
#include "call_sites.hpp"

#include "error.hpp"
#include "host_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <sstream>
#include <string_view>

namespace harness {

namespace {

/* A relocation of 32 bits ends where the call does, and the caller goes on there. */
constexpr std::uint64_t relocation_size = 4;

struct symbol {
	std::string name;
	std::uint64_t start = 0;
};

/* The number that a line begins with, after blanks. */
std::uint64_t leading_hex(std::string_view line)
{
	line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
	std::uint64_t number = 0;
	std::from_chars(line.data(), line.data() + line.size(), number, 16);
	return number;
}

/* "0000000000000120 <name>:" */
bool begins_function(std::string_view line)
{
	return line.ends_with(">:") && line.find(" <") != std::string_view::npos;
}

symbol function_of(std::string_view line)
{
	const auto name = line.find('<') + 1;
	return {std::string{line.substr(name, line.size() - name - 2)}, leading_hex(line)};
}

/* What is called, of "R_X86_64_PLT32  kfree-0x4"; empty if the line is no relocation of a call. */
std::string callee_of(std::string_view line)
{
	constexpr std::string_view kind = "R_X86_64_PLT32";
	const auto at = line.find(kind);
	if (at == std::string_view::npos)
		return {};
	const auto name = line.find_first_not_of(" \t", at + kind.size());
	return std::string{line.substr(name, line.find_last_of("+-") - name)};
}

} // namespace

std::map<std::string, std::string> call_sites(const std::filesystem::path &module,
                                              const std::set<std::string> &callees)
{
	const auto dump = run_host({"objdump", "-dr", "--no-show-raw-insn", module});
	if (!dump)
		throw error{fmt::format("objdump cannot read {}: {}", module.string(), dump.err)};
	std::map<std::string, std::string> sites;
	std::istringstream lines{dump.out};
	symbol caller;
	for (std::string line, instruction; std::getline(lines, line);) {
		const auto callee = callee_of(line);
		if (begins_function(line)) {
			caller = function_of(line);
		} else if (callee.empty()) {
			instruction = line;
		} else if (callees.contains(callee)) {
			if (instruction.find("\tcall ") == std::string::npos)
				throw error{fmt::format("{} of {} calls {} as its last act", caller.name, module.string(), callee)};
			sites.emplace(fmt::format("{}+{:#x}", caller.name, leading_hex(line) + relocation_size - caller.start),
			              callee);
		}
	}
	return sites;
}

} // namespace harness
