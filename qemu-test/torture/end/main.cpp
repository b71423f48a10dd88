// SPDX-License-Identifier: MIT
/*
 * One end of several channels, for a test that kills it: on the host, or the
 * same in a guest.
 *
 *	torture-end INSTANCE SEED windows|calls PROGRESS-FILE SOCKET|- CHANNEL...
 *
 * `calls`: only what reads and writes, no windows into the rings, as a guest
 * needs whose device goes: what is mapped of it is SIGBUS then.
 * `-` in the place of a server's socket: the device nodes of a guest.
 */
#include "channel_end.hpp"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using namespace torture;

/* Ends the process: others of its threads wait for a peer. */
void run(channel_end &end)
try {
	end.run();
} catch (const wrong_bytes &wrong) {
	say({.what = "wrong", .note = wrong.what()});
	std::_Exit(3);
} catch (const std::exception &e) {
	std::fprintf(stderr, "torture-end: %s\n", e.what());
	std::_Exit(1);
}

} // namespace

int main(int argc, char **argv)
try {
	const std::vector<std::string> words{argv + 1, argv + argc};
	if (words.size() < 6) {
		std::fprintf(stderr, "usage: torture-end INSTANCE SEED windows|calls PROGRESS-FILE SOCKET|- CHANNEL...\n");
		return 2;
	}
	const bool guest = words[4] == "-";
	std::optional<kvmchan::region> region;
	if (!guest)
		region = kvmchan::region::attach(words[4]);
	const end_options options{.side = guest ? 1U : 0U,
	                          .instance = static_cast<std::uint32_t>(std::stoul(words[0])),
	                          .seed = std::stoull(words[1]),
	                          .windows = words[2] == "windows",
	                          .region = guest ? nullptr : &*region};
	const progress_file progress{words[3]};
	say({.what = "pid", .my = static_cast<std::uint64_t>(::getpid())});
	const commands asked;
	std::deque<channel_end> ends;
	std::vector<std::thread> threads;
	for (unsigned i = 0; i < words.size() - 5; ++i)
		ends.emplace_back(options, asked, progress.all()[i], words[5 + i], i);
	for (auto &end : ends)
		threads.emplace_back([&end] { run(end); });
	for (auto &thread : threads)
		thread.join();
	std::_Exit(0); // the listening thread stays
} catch (const std::exception &e) {
	std::fprintf(stderr, "torture-end: %s\n", e.what());
	return 1;
}
