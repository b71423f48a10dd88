// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>

namespace bench {

/**
 * One end of something that carries bytes between two programs. Both ends of
 * a measurement are such objects; each transport is one file.
 */
class end {
public:
	virtual ~end() = default;

	/** Moves all of it, as messages of `message` bytes where the transport knows messages. */
	virtual void write(std::span<const std::byte> from, std::size_t message) = 0;
	/**
	 * Waits for bytes and takes what there is, at most @p to; at least one
	 * message where the transport knows messages. The end of the peer is an
	 * error.
	 */
	virtual std::size_t read(std::span<std::byte> to) = 0;
	/** The bytes that the next write()s will be given: for who keeps them elsewhere. */
	virtual void prepare(std::span<const std::byte> /*message*/) {}
	/** How many messages one write() shall be given when streaming. */
	virtual std::size_t batch() const { return 1; }

protected:
	end() = default;
	end(const end &) = default;
	end(end &&) = default;
	end &operator=(const end &) = default;
	end &operator=(end &&) = default;

	[[noreturn]] static void ended() { throw std::runtime_error{"the peer has ended"}; }
};

/** Fills @p to. */
inline void read_all(end &from, std::span<std::byte> to)
{
	for (std::size_t done = 0; done < to.size();)
		done += from.read(to.subspan(done));
}

} // namespace bench
