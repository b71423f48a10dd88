// SPDX-License-Identifier: MIT
#pragma once

#include "pair.hpp"
#include "runner.hpp"
#include "samples.hpp"

namespace bench {

/** Between two guests: throughput and round trips of kvmchan, TCP and the limit. */
void run_pair(guest_pair &at, samples &to, const effort &how, unsigned cpus, unsigned boot);

} // namespace bench
