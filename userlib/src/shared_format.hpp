// SPDX-License-Identifier: MIT
// The shared-memory format, ring, session and table code, as C++ sees them.
#ifndef KVMCHAN_SHARED_FORMAT_HPP
#define KVMCHAN_SHARED_FORMAT_HPP

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "session.h"
#include "table.h"
#include "uapi/kvmchan.h"

namespace kvmchan::detail {

/**
 * Copies a structure out of shared memory word by word, each by one access, so
 * that what a peer writes meanwhile can only mix old words with new ones.
 */
template <typename T>
T load_words(const std::byte *from) noexcept
{
	static_assert(sizeof(T) % sizeof(__le64) == 0);
	std::array<__u64, sizeof(T) / sizeof(__le64)> words;
	T to;

	for (std::size_t i = 0; i < words.size(); ++i)
		words[i] = kvmchan_load(reinterpret_cast<const __le64 *>(from) + i);
	std::memcpy(&to, words.data(), sizeof(T));
	return to;
}

} // namespace kvmchan::detail

#endif
