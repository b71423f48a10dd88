// SPDX-License-Identifier: MIT
// Errors inside the library: an errno value and a sentence for people.
#ifndef KVMCHAN_FAILURE_HPP
#define KVMCHAN_FAILURE_HPP

#include <string>
#include <system_error>

namespace kvmchan::detail {

/** Throws std::system_error of @p error (a positive errno value). */
[[noreturn]] inline void fail(int error, const std::string &text)
{
	throw std::system_error{error, std::system_category(), text};
}

} // namespace kvmchan::detail

#endif
