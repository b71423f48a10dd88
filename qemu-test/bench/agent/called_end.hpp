// SPDX-License-Identifier: MIT
#pragma once

#include "fd_end.hpp"

#include <memory>
#include <utility>

namespace bench {

/** Another end, and a system call that does nothing for each call: the least that read() and write() can take. */
class called_end final : public end {
public:
	called_end(std::unique_ptr<end> inner, kvmchan::unique_fd nothing) : inner_{std::move(inner)}, nothing_{std::move(nothing)}
	{
	}

	void write(std::span<const std::byte> from, std::size_t message) override
	{
		nothing_.write(from, message);
		inner_->write(from, message);
	}

	std::size_t read(std::span<std::byte> to) override
	{
		nothing_.read(to);
		return inner_->read(to);
	}

private:
	std::unique_ptr<end> inner_;
	fd_end nothing_;
};

} // namespace bench
