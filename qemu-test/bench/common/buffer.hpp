// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace bench {

/**
 * A touched buffer that begins at a chosen place in a page: how fast a copy is
 * depends on where its two ends lie.
 */
class buffer {
public:
	buffer(std::size_t size, std::size_t offset)
	    : pages_{static_cast<std::byte *>(std::aligned_alloc(page, (size + offset + page - 1) / page * page))},
	      bytes_{pages_.get() + offset, size}
	{
		if (!pages_)
			throw std::bad_alloc{};
		for (auto &byte : bytes_)
			byte = std::byte{0x5a};
	}

	std::span<std::byte> bytes() const { return bytes_; }

private:
	static constexpr std::size_t page = 4096;
	struct release {
		void operator()(std::byte *at) const { std::free(at); }
	};

	std::unique_ptr<std::byte, release> pages_;
	std::span<std::byte> bytes_;
};

} // namespace bench
