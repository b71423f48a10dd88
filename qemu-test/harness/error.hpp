// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

namespace harness {

/** Something about the test set-up failed; what() tells the whole story. */
class error : public std::runtime_error {
public:
	using std::runtime_error::runtime_error;
};

/** A wait ran into its limit. */
class deadline_error : public error {
public:
	using error::error;
};

/** The guest (or its QEMU) went away while somebody waited for it. */
class guest_gone : public error {
public:
	using error::error;
};

/** QMP answered with an error. */
class qmp_error : public error {
public:
	using error::error;
};

} // namespace harness
