// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace harness {

/**
 * The context of the one thread that does all of the harness's waiting on
 * descriptors, so that nothing a test does (or blocks in) stops the output of
 * guests and processes from being taken. Starts on first use.
 */
asio::io_context &io();

/** A non-blocking byte stream on the I/O thread: a pipe, socket or the like. */
class stream : public std::enable_shared_from_this<stream> {
public:
	struct handlers {
		std::function<void(std::string_view)> received{}; ///< on the I/O thread
		std::function<void()> ended{}; ///< once, on the I/O thread; not after close()
	};

	/** Takes the descriptor over. */
	static std::shared_ptr<stream> open(kvmchan::unique_fd fd, handlers on);

	/** Starts to read; the handlers may run before this returns. */
	void start();
	/** Queues bytes; any thread, in the order of the calls. */
	void write(std::string_view bytes);
	/** Closes after the queued bytes are written; any thread. */
	void close_after_writes();
	/** Closes now; no handler runs any more once the I/O thread got to it. Any thread. */
	void close();
	/** Takes all that can be read now; only on the I/O thread. */
	void drain();

private:
	stream(kvmchan::unique_fd fd, handlers on);
	void read_more();
	bool read_once();
	void write_more();
	void end();

	asio::posix::stream_descriptor descriptor_;
	handlers on_;
	std::string buffer_;
	std::string writing_; // given to Asio

	std::mutex mutex_;
	std::string queued_; // not yet given to Asio; under mutex_
	bool closing_ = false; // under mutex_
};

} // namespace harness
