// SPDX-License-Identifier: MIT
// Sizes as people write them.
#ifndef KVMCHAN_MEMORY_SIZE_HPP
#define KVMCHAN_MEMORY_SIZE_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace kvmchan {

/** The sizes that QEMU takes for BAR2: a power of two, 4 KiB at least. */
inline constexpr std::uint64_t region_size_min = 4096;
/** What we make: more than this is no size of anybody's memory. */
inline constexpr std::uint64_t region_size_max = std::uint64_t{1} << 46;

/**
 * Reads "4096", "64K", "16M", "1G", "2T", also with "iB" or "B" after the
 * letter; letters in any case, always powers of 1024.
 *
 * Errors: invalid_argument when it is no size, result_out_of_range past 2^63-1.
 */
std::uint64_t parse_size(std::string_view text, std::error_code &ec) noexcept;
/** The same; throws std::system_error whose text quotes @p text. */
std::uint64_t parse_size(std::string_view text);

/** The shortest exact form that parse_size() reads: "16M", "4097". */
std::string format_size(std::uint64_t size);

/** Whether QEMU accepts memory of @p size as BAR2. */
constexpr bool is_region_size(std::uint64_t size) noexcept
{
	return size >= region_size_min && size <= region_size_max && (size & (size - 1)) == 0;
}

} // namespace kvmchan

#endif
