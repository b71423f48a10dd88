// SPDX-License-Identifier: MIT
// Windows, for tests that are about what is in them and which errors come.
#ifndef KVMCHAN_TESTS_WINDOW_CALLS_HPP
#define KVMCHAN_TESTS_WINDOW_CALLS_HPP

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <kvmchan/channel.hpp>

namespace kvmchan::test {

/** Sends text through a window. */
inline void put_text(channel &to, const std::string &text)
{
	std::ranges::copy(std::as_bytes(std::span{text}), to.reserve(text.size()).begin());
	to.commit(text.size());
}

/** Takes all that a window shows, or its first bytes. */
inline std::string take_text(channel &from, std::size_t most = SIZE_MAX)
{
	const auto window = from.peek();
	std::string text(std::min(most, window.size()), '\0');

	std::ranges::copy(window.first(text.size()), std::as_writable_bytes(std::span{text}).begin());
	from.consume(text.size());
	return text;
}

template <typename Call>
std::error_code error_of(Call call)
{
	std::error_code ec;

	call(ec);
	return ec;
}

inline std::error_code reserve_error(channel &to, std::size_t least = 1)
{
	return error_of([&](std::error_code &ec) { to.reserve(least, ec); });
}

inline std::error_code peek_error(channel &from, std::size_t least = 1)
{
	return error_of([&](std::error_code &ec) { from.peek(least, ec); });
}

inline std::error_code commit_error(channel &to, std::size_t size)
{
	return error_of([&](std::error_code &ec) { to.commit(size, ec); });
}

inline std::error_code consume_error(channel &from, std::size_t size)
{
	return error_of([&](std::error_code &ec) { from.consume(size, ec); });
}

} // namespace kvmchan::test

#endif
