// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"

namespace bench {

/** Loads the modules of the transports and limits that are compared. */
void load_modules(harness::guest &machine);
/** Makes /dev/kvmchan/by-name, as udev does elsewhere. */
void link_names(harness::guest &machine);
/** Takes them away: rmmod shall leave nothing behind. */
void unlink_names(harness::guest &machine);

} // namespace bench
