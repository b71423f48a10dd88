// SPDX-License-Identifier: MIT
#pragma once

#include <sys/resource.h>

namespace bench {

/** A thousand channels need more than what is usual. */
inline void use_all_descriptors()
{
	rlimit limit{};
	if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		::setrlimit(RLIMIT_NOFILE, &limit);
	}
}

} // namespace bench
