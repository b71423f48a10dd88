// SPDX-License-Identifier: MIT
/*
 * bench-agent CONTROL
 * The guest's half of the benchmarks: does the jobs that come as lines on its
 * standard input, "NUMBER JOB", and answers each with "ok TEXT" or "error TEXT"
 * and then "end NUMBER"; 0 when it is there. CONTROL is the memory slot with the control words.
 */
#include "ends.hpp"
#include "many.hpp"
#include "many_jobs.hpp"
#include "descriptors.hpp"

#include <kvmchan/memory.hpp>

#include <exception>
#include <iostream>
#include <string>

namespace {

using namespace bench;

std::string run(const job &what, guest_ends &ends, many_jobs &many, control &words)
{
	if (many.knows(what.op))
		return many.perform(what, words);
	return perform(what, ends.get(what), words);
}

} // namespace

int main(int argc, char **argv)
try {
	if (argc != 2) {
		std::cerr << "usage: bench-agent CONTROL\n";
		return 2;
	}
	use_all_descriptors();
	const kvmchan::memory_block block{"/dev/kvmchan/by-name/" + std::string{argv[1]}};
	auto &words = *reinterpret_cast<control *>(block.bytes().data());
	guest_ends ends;
	many_jobs many;
	std::cout << "ok\nend 0" << std::endl;
	for (std::string line; std::getline(std::cin, line);) {
		const auto number = line.substr(0, line.find(' '));
		try {
			const auto text = run(job::parse(line.substr(number.size())), ends, many, words);
			std::cout << "ok " << text;
		} catch (const std::exception &e) {
			std::cout << "error " << e.what();
		}
		std::cout << "\nend " << number << std::endl;
	}
	return 0;
} catch (const std::exception &e) {
	std::cerr << "bench-agent: " << e.what() << '\n';
	return 1;
}
