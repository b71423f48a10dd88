// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

namespace bench {

/** CPU time that this process, or that one with all its threads, has used. */
double cpu_seconds();
double cpu_seconds(pid_t pid);

} // namespace bench
