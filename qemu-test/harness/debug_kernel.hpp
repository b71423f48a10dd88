// SPDX-License-Identifier: MIT
/*
 * What kernels that are built to find bugs know at the end of a guest's life.
 * Each does nothing in a kernel that has no such thing.
 */
#pragma once

#include "guest.hpp"

namespace harness {

/** Throws error if memory is allocated that nothing points to (kmemleak). */
void check_leaks(guest &machine);

/**
 * Copies the module's counters of lines that ran (gcov) to a new directory in
 * $KVMCHAN_COVERAGE, if that is set.
 */
void keep_coverage(guest &machine);

} // namespace harness
