// SPDX-License-Identifier: MIT
#include "memory_size.hpp"

#include <charconv>
#include <limits>

namespace kvmchan {
namespace {

constexpr std::string_view suffixes = "KMGTPE";
constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

constexpr char upper(char c) noexcept
{
	return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/* "", "B", "K", "KB", "KiB" to a shift; -1 when it is none of them. */
int suffix_shift(std::string_view suffix) noexcept
{
	if (suffix.empty() || (suffix.size() == 1 && upper(suffix[0]) == 'B'))
		return 0;

	const auto index = suffixes.find(upper(suffix[0]));

	if (index == std::string_view::npos)
		return -1;
	suffix.remove_prefix(1);
	if (!suffix.empty() && upper(suffix[0]) == 'I')
		suffix.remove_prefix(1);
	else if (suffix.size() > 1)
		return -1;
	if (!suffix.empty() && (suffix.size() > 1 || upper(suffix[0]) != 'B'))
		return -1;
	return static_cast<int>(10 * (index + 1));
}

} // namespace

std::uint64_t parse_size(std::string_view text, std::error_code &ec) noexcept
{
	std::uint64_t value = 0;
	const char *const end = text.data() + text.size();
	const auto [rest, error] = std::from_chars(text.data(), end, value);

	if (error == std::errc::result_out_of_range) {
		ec = std::make_error_code(error);
		return 0;
	}

	const int shift = error == std::errc{} ? suffix_shift({rest, static_cast<std::size_t>(end - rest)}) : -1;

	if (shift < 0) {
		ec = std::make_error_code(std::errc::invalid_argument);
		return 0;
	}
	if (value > (largest >> shift)) {
		ec = std::make_error_code(std::errc::result_out_of_range);
		return 0;
	}
	ec.clear();
	return value << shift;
}

std::uint64_t parse_size(std::string_view text)
{
	std::error_code ec;
	const std::uint64_t size = parse_size(text, ec);

	if (ec)
		throw std::system_error{ec, "size \"" + std::string{text} + "\" (write bytes, or a number with K, M, G or T)"};
	return size;
}

std::string format_size(std::uint64_t size)
{
	std::size_t unit = 0;

	while (unit < suffixes.size() && size != 0 && size % 1024 == 0) {
		size /= 1024;
		++unit;
	}
	return std::to_string(size) + (unit ? std::string{suffixes[unit - 1]} : std::string{});
}

} // namespace kvmchan
