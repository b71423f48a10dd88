// SPDX-License-Identifier: MIT
// A fuzzer's input, as the decisions that it stands for.
#ifndef KVMCHAN_FUZZ_INPUT_HPP
#define KVMCHAN_FUZZ_INPUT_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kvmchan::fuzz {

/** Reads from the front; past the end everything is 0. */
class input {
public:
	input(const std::uint8_t *data, std::size_t size) noexcept : left_{data, size} {}

	bool empty() const noexcept { return left_.empty(); }

	std::uint8_t byte() noexcept
	{
		const auto one = bytes(1);

		return one.empty() ? std::uint8_t{0} : one.front();
	}

	/** Little-endian. */
	std::uint64_t number(unsigned size) noexcept
	{
		std::uint64_t value = 0;

		for (unsigned i = 0; i < size; ++i)
			value |= std::uint64_t{byte()} << (8 * i);
		return value;
	}

	/** From -128 on, as an unsigned number is added. */
	std::uint64_t offset() noexcept { return byte() - std::uint64_t{128}; }

	/** At most @p size of what is left. */
	std::span<const std::uint8_t> bytes(std::size_t size) noexcept
	{
		const auto taken = left_.first(std::min(size, left_.size()));

		left_ = left_.subspan(taken.size());
		return taken;
	}

	std::string_view text(std::size_t size) noexcept
	{
		const auto taken = bytes(size);

		return {reinterpret_cast<const char *>(taken.data()), taken.size()};
	}

	std::string_view rest() noexcept { return text(left_.size()); }

private:
	std::span<const std::uint8_t> left_;
};

} // namespace kvmchan::fuzz

#endif
