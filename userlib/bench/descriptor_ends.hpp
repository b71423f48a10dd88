// SPDX-License-Identifier: MIT
// What the kernel offers between two processes, as ends of a path.
#ifndef KVMCHAN_BENCH_DESCRIPTOR_ENDS_HPP
#define KVMCHAN_BENCH_DESCRIPTOR_ENDS_HPP

#include <cstddef>
#include <span>

#include "unique_fd.hpp"

namespace kvmchan::bench {

/** Blocking descriptors: one to read, one to write; the same of a socket. */
class descriptor_end {
public:
	descriptor_end(unique_fd in, unique_fd out) : in_{std::move(in)}, out_{std::move(out)} {}

	void send(std::span<const std::byte> message);
	void recv(std::span<std::byte> message);
	int in() const noexcept { return in_.get(); }
	int out() const noexcept { return out_ ? out_.get() : in_.get(); }

private:
	unique_fd in_, out_;
};

/** Both ends. Their buffers are as large as they get without privileges, up to a ring's size. */
class descriptor_pair {
public:
	/** Each throws std::system_error. */
	static descriptor_pair pipes();
	static descriptor_pair unix_sockets();
	static descriptor_pair tcp_loopback();

	descriptor_end &a() noexcept { return a_; }
	descriptor_end &b() noexcept { return b_; }

private:
	descriptor_pair(descriptor_end a, descriptor_end b) : a_{std::move(a)}, b_{std::move(b)} {}

	descriptor_end a_, b_;
};

} // namespace kvmchan::bench

#endif
