// SPDX-License-Identifier: MIT
// Waits for a descriptor that somebody else owns.
#ifndef KVMCHAN_SERVER_FD_WATCH_HPP
#define KVMCHAN_SERVER_FD_WATCH_HPP

#include <utility>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

namespace kvmchan {

/**
 * Readiness of a descriptor in an event loop, without ownership. stop() before
 * the descriptor is closed; handlers that wait then get operation_aborted, or
 * are called once more if they were due already.
 */
class fd_watch {
public:
	explicit fd_watch(asio::io_context &io) : descriptor_{io} {}
	fd_watch(asio::io_context &io, int fd) : descriptor_{io, fd} {}
	fd_watch(const fd_watch &) = delete;
	fd_watch &operator=(const fd_watch &) = delete;
	~fd_watch() { stop(); }

	void start(int fd) { descriptor_.assign(fd); }
	void stop() noexcept
	{
		if (descriptor_.is_open())
			descriptor_.release();
	}

	template <typename Handler>
	void when_readable(Handler &&handler)
	{
		descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, std::forward<Handler>(handler));
	}

	template <typename Handler>
	void when_writable(Handler &&handler)
	{
		descriptor_.async_wait(asio::posix::stream_descriptor::wait_write, std::forward<Handler>(handler));
	}

private:
	asio::posix::stream_descriptor descriptor_;
};

} // namespace kvmchan

#endif
