// SPDX-License-Identifier: MIT
#pragma once

#include "rig.hpp"

#include <ostream>
#include <span>

namespace torture {

/** A way to die, or to be disturbed. */
struct kind {
	const char *name;
	unsigned cycles;      ///< of the quick run
	void (*cycle)(rig &); ///< begins and ends with traffic on its way
	bool windows = true;  ///< the guest's end may have rings mapped: its device stays
};

inline std::ostream &operator<<(std::ostream &out, const kind &one)
{
	return out << one.name;
}

std::span<const kind> kinds();

} // namespace torture
