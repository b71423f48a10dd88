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

void stream::read_more()
{
	if (!descriptor_.is_open())
		return;
	descriptor_.async_read_some(
		asio::buffer(buffer_),
		[self = shared_from_this()](const std::error_code &ec, std::size_t n) {
			if (ec == asio::error::operation_aborted || !self->descriptor_.is_open())
				return;
			if (ec) {
				self->end();
				return;
			}
			self->on_.received({self->buffer_.data(), n});
			self->read_more();
		});
}

void stream::drain()
{
	std::string bytes(65536, '\0');
	std::error_code ec;
	while (descriptor_.is_open()) {
		const auto n = descriptor_.read_some(asio::buffer(bytes), ec);
		if (ec)
			return;
		on_.received({bytes.data(), n});
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
