// SPDX-License-Identifier: MIT
// From the C interface's return values to exceptions and error codes.
#ifndef KVMCHAN_ERROR_HPP
#define KVMCHAN_ERROR_HPP

#include <cerrno>
#include <string>
#include <system_error>

#include "kvmchan/kvmchan.h"

namespace kvmchan::inline v1 {

/** The error code of a negated errno value. */
inline std::error_code make_error(long result) noexcept
{
	return {static_cast<int>(-result), std::system_category()};
}

namespace internal {

/** Throws for a call that opens something, with the library's sentence. */
[[noreturn]] inline void throw_opening(long result)
{
	std::string text = kvmchan_error_text();
	const std::error_code code = make_error(result);
	const std::string tail = ": " + code.message();

	/* system_error adds it once more. */
	if (text.ends_with(tail))
		text.resize(text.size() - tail.size());
	throw std::system_error{code, text};
}

/** Throws for a call on an open object. */
inline long checked(long result, const char *what)
{
	if (result < 0)
		throw std::system_error{make_error(result), what};
	return result;
}

/** Fills in @p ec; what is left is a count. */
inline long coded(long result, std::error_code &ec) noexcept
{
	if (result < 0) {
		ec = make_error(result);
		return 0;
	}
	ec.clear();
	return result;
}

} // namespace internal
} // namespace kvmchan::inline v1

#endif
