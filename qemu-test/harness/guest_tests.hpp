// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"

namespace harness {

/** What a GoogleTest program in the guest reported. */
struct guest_test_report {
	int tests = 0;
	int failures = 0;
	int skipped = 0;
	result run; ///< the program itself
};

/**
 * Runs the in-guest GoogleTest program in /tests; @p what is its name
 * alone, or the name, arguments and environment. Its report goes to
 * $KVMCHAN_TEST_RESULTS/guest-<name>.xml, so that each in-guest test
 * counts on its own; a program that dies leaves a report with one error.
 *
 * A failed test, a crash, or a program that ran no test at all is a
 * GoogleTest failure of the calling case, with the program's output.
 */
guest_test_report run_guest_tests(guest &machine, command what,
                                  milliseconds limit = nominal::program);

} // namespace harness
