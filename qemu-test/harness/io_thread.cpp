// SPDX-License-Identifier: MIT
#include "io_thread.hpp"

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/write.hpp>

#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

namespace harness {

namespace {

struct runner {
	asio::io_context context{1};
	asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
	std::thread thread{[this] { context.run(); }};

	// A peer that went away is an error code for us, not a signal.
	runner() { std::signal(SIGPIPE, SIG_IGN); }
	~runner()
	{
		context.stop();
		thread.join();
	}
	runner(const runner &) = delete;
	runner &operator=(const runner &) = delete;
};

} // namespace

asio::io_context &io()
{
	static runner instance;
	return instance.context;
}

stream::stream(kvmchan::unique_fd fd, handlers on)
    : descriptor_{io(), fd.release()}, on_{std::move(on)}, buffer_(65536, '\0')
{
	descriptor_.non_blocking(true);
}

std::shared_ptr<stream> stream::open(kvmchan::unique_fd fd, handlers on)
{
	return std::shared_ptr<stream>{new stream{std::move(fd), std::move(on)}};
}

void stream::start()
{
	asio::post(io(), [self = shared_from_this()] { self->read_more(); });
}

/*
 * Waits, and reads when there is something. A read that Asio does in the
 * background could have its bytes on the way to the handler while drain()
 * takes the ones behind them.
 */
void stream::read_more()
{
	if (!descriptor_.is_open())
		return;
	descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
	                       [self = shared_from_this()](const std::error_code &ec) {
				       if (ec)
					       return;
				       if (self->read_once())
					       self->end();
				       else
					       self->read_more();
			       });
}

/* Whether the stream has ended. */
bool stream::read_once()
{
	if (!descriptor_.is_open())
		return false;
	std::error_code ec;
	const auto n = descriptor_.read_some(asio::buffer(buffer_), ec);
	if (n > 0)
		on_.received({buffer_.data(), n});
	return ec && ec != asio::error::would_block && ec != asio::error::interrupted;
}

void stream::drain()
{
	std::error_code ec;
	while (descriptor_.is_open()) {
		const auto n = descriptor_.read_some(asio::buffer(buffer_), ec);
		if (ec)
			return;
		on_.received({buffer_.data(), n});
	}
}

void stream::write(std::string_view bytes)
{
	{
		// In the queue right here: Asio does not keep the order of what is
		// posted from the I/O thread and from others.
		const std::lock_guard lock{mutex_};
		queued_ += bytes;
	}
	asio::post(io(), [self = shared_from_this()] { self->write_more(); });
}

void stream::write_more()
{
	if (!descriptor_.is_open() || !writing_.empty())
		return;
	{
		const std::lock_guard lock{mutex_};
		writing_ = std::exchange(queued_, {});
		if (writing_.empty()) {
			if (closing_)
				descriptor_.close();
			return;
		}
	}
	asio::async_write(descriptor_, asio::buffer(writing_),
	                  [self = shared_from_this()](const std::error_code &ec, std::size_t) {
				  self->writing_.clear();
				  if (ec == asio::error::operation_aborted)
					  return;
				  if (ec)
					  self->end();
				  else
					  self->write_more();
			  });
}

void stream::close_after_writes()
{
	{
		const std::lock_guard lock{mutex_};
		closing_ = true;
	}
	asio::post(io(), [self = shared_from_this()] { self->write_more(); });
}

void stream::close()
{
	asio::post(io(), [self = shared_from_this()] {
		std::error_code ignored;
		self->descriptor_.close(ignored);
		self->on_ = {};
	});
}

void stream::end()
{
	if (!descriptor_.is_open())
		return;
	std::error_code ignored;
	descriptor_.close(ignored);
	if (const auto ended = std::exchange(on_, {}).ended)
		ended();
}

} // namespace harness
