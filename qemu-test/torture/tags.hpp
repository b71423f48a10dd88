// SPDX-License-Identifier: MIT
#pragma once

#include "pattern.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

/*
 * What one end sends in one session. It begins with a header that names the
 * session by a tag, which no other one ever has; all bytes that follow, and the
 * lengths of all records, depend on the tag. So who receives them can tell from
 * the bytes alone whose they are, and that none is lost, doubled or out of place.
 */
namespace torture {

/** Side, channel, number of the process, and of its session on that channel. */
struct tag_parts {
	unsigned side;
	unsigned channel;
	std::uint32_t instance;
	std::uint32_t session;
};

/** Of one side and channel, later ones are greater. 0 is no tag. */
constexpr std::uint64_t make_tag(const tag_parts &parts)
{
	return std::uint64_t{parts.side} << 63 | std::uint64_t{parts.channel} << 56 |
	       std::uint64_t{parts.instance} << 28 | parts.session;
}

constexpr unsigned side_of(std::uint64_t tag)
{
	return static_cast<unsigned>(tag >> 63);
}

constexpr unsigned channel_of(std::uint64_t tag)
{
	return static_cast<unsigned>(tag >> 56) & 0x7f;
}

inline constexpr std::size_t header_size = 16;

/** The bytes of a session. */
class session_bytes {
public:
	explicit session_bytes(std::uint64_t tag) : tag_{tag}, pattern_{tag}, lengths_{~tag} {}

	void fill(std::uint64_t offset, std::span<std::byte> out) const
	{
		pattern_.fill(offset, out);
		for (std::size_t i = 0; i < out.size() && offset + i < header_size; ++i)
			out[i] = header_byte(offset + i);
	}

	/** Where @p bytes first differ from those of the session, from @p offset on. */
	std::optional<std::uint64_t> mismatch(std::uint64_t offset, std::span<const std::byte> bytes) const
	{
		for (; !bytes.empty() && offset < header_size; ++offset, bytes = bytes.subspan(1)) {
			if (bytes.front() != header_byte(offset))
				return offset;
		}
		return pattern_.mismatch(offset, bytes);
	}

	/** Of record @p index; the first one is the header. */
	std::size_t record_length(std::uint64_t index, std::size_t longest) const
	{
		std::uint64_t draw = 0;
		lengths_.fill(index * sizeof draw, std::as_writable_bytes(std::span{&draw, 1}));
		return index == 0 ? header_size : 1 + draw % longest;
	}

	/** The tag that a header tells, if it is one. */
	static std::optional<std::uint64_t> tag_in(std::span<const std::byte, header_size> header)
	{
		std::uint64_t tag = 0;
		std::memcpy(&tag, header.data(), sizeof tag);
		if (tag == 0 || session_bytes{tag}.mismatch(0, header))
			return std::nullopt;
		return tag;
	}

private:
	std::byte header_byte(std::uint64_t offset) const
	{
		const std::uint64_t words[] = {tag_, tag_ * 0x9e3779b97f4a7c15U ^ 0x6b766d6368616e21U};
		return std::as_bytes(std::span{words})[offset];
	}

	std::uint64_t tag_;
	harness::pattern pattern_;
	harness::pattern lengths_;
};

} // namespace torture
