// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bench {

/**
 * Instructions that a guest runs, by function: the same in each run but for
 * what really differs, whatever else the host does. Counted by a plugin in
 * QEMU's translator, which shows neither what a KVM guest runs nor what an
 * instruction costs.
 */
class profile {
public:
	/** Writes into @p directory, which it makes; its files are named by what is profiled. */
	explicit profile(std::filesystem::path directory);
	profile(const profile &) = delete;
	profile &operator=(const profile &) = delete;
	~profile();

	/** For the command line of the guest's QEMU. */
	std::vector<std::string> qemu_args() const;

	/** Reads the names of the kernel's and modules' functions; when these are loaded. */
	void learn_symbols(harness::guest &machine);

	/** Counts from here on. */
	void begin();
	/** Writes what was run for each of @p operations. */
	void end(const std::string &name, std::uint64_t operations);

private:
	void order(const std::string &line) const;
	std::string function_at(std::uint64_t address) const;
	std::map<std::string, std::uint64_t> by_function(const std::filesystem::path &counts) const;

	std::filesystem::path directory_, fifo_;
	std::map<std::uint64_t, std::string> symbols_;
};

} // namespace bench
