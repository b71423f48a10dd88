// SPDX-License-Identifier: MIT
// The states that have been seen, by 128 bits each.
#ifndef KVMCHAN_EXPLORE_FINGERPRINT_HPP
#define KVMCHAN_EXPLORE_FINGERPRINT_HPP

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace explore {

struct fingerprint {
	std::uint64_t a = 0x9e3779b97f4a7c15, b = 0xc2b2ae3d27d4eb4f;

	void add(std::uint64_t word, std::uint64_t next = 0)
	{
		a = fold(a ^ word, next ^ 0xff51afd7ed558ccd);
		b = fold(b ^ next, word ^ 0x9fb21c651e98df25);
	}

	/* A multiple of 8 bytes. */
	void add_words(const void *data, std::size_t size)
	{
		const auto *at = static_cast<const unsigned char *>(data);
		std::uint64_t pair[2];

		for (; size >= 16; size -= 16, at += 16) {
			std::memcpy(pair, at, 16);
			add(pair[0], pair[1]);
		}
		if (size) {
			std::memcpy(pair, at, 8);
			add(pair[0]);
		}
	}

	/* Zero marks what is free in the set. */
	void end()
	{
		add(a, b);
		add(b, a);
		a |= 1;
	}

private:
	static std::uint64_t fold(std::uint64_t x, std::uint64_t y)
	{
		__extension__ using wide = unsigned __int128;
		const wide product = wide{x} * y;

		return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64) ^ y;
	}
};

class fingerprint_set {
public:
	/* Was it not there? */
	bool insert(const fingerprint &f)
	{
		if (2 * count_ >= slots_.size())
			grow();
		return put(f);
	}

private:
	bool put(const fingerprint &f)
	{
		const std::size_t mask = slots_.size() - 1;
		std::size_t at = f.b & mask;

		for (; slots_[at].a; at = (at + 1) & mask)
			if (slots_[at].a == f.a && slots_[at].b == f.b)
				return false;
		slots_[at] = f;
		++count_;
		return true;
	}

	void grow()
	{
		std::vector<fingerprint> old(slots_.empty() ? 1024 : 2 * slots_.size(), fingerprint{0, 0});

		old.swap(slots_);
		count_ = 0;
		for (const fingerprint &f : old)
			if (f.a)
				put(f);
	}

	std::vector<fingerprint> slots_;
	std::size_t count_ = 0;
};

} // namespace explore

#endif
