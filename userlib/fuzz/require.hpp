// SPDX-License-Identifier: MIT
// What has to hold, whatever the input.
#ifndef KVMCHAN_FUZZ_REQUIRE_HPP
#define KVMCHAN_FUZZ_REQUIRE_HPP

#include <cstdio>
#include <cstdlib>

namespace kvmchan::fuzz {

/** Ends the process, so that the fuzzer keeps the input, unless @p good. */
inline void require(bool good, const char *what)
{
	if (good)
		return;
	std::fprintf(stderr, "does not hold: %s\n", what);
	std::abort();
}

} // namespace kvmchan::fuzz

#endif
