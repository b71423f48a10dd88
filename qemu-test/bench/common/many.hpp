// SPDX-License-Identifier: MIT
#pragma once

#include "control.hpp"
#include "unique_fd.hpp"

#include <kvmchan/channel.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace bench {

/** Many channels in one edge-triggered epoll loop, on either side. */
class many_channels {
public:
	using opener = std::function<kvmchan::channel(std::size_t index)>;

	explicit many_channels(opener open) : open_{std::move(open)} {}

	/** Opens, or closes, until there are so many; they do not block. */
	void resize(std::size_t count);
	std::size_t size() const { return channels_.size(); }
	std::vector<kvmchan::channel> &channels() { return channels_; }

	/** Writes messages to all of them until it shall stop. */
	void source(std::size_t message, std::size_t offset, control &words);
	/** Reads from all of them what source() has sent. */
	void sink(std::size_t room, std::size_t offset, control &words);

private:
	/* Moves bytes of one channel until it would block, or for a turn. */
	using mover = std::function<bool(kvmchan::channel &channel)>;
	void run(const mover &move, const std::function<bool()> &over);
	void wait(bool idle);

	opener open_;
	std::vector<kvmchan::channel> channels_;
	kvmchan::unique_fd epoll_;
	std::vector<std::size_t> ready_;
	std::vector<bool> is_ready_;
};

} // namespace bench
