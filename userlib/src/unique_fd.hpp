// SPDX-License-Identifier: MIT
// The one owner and closer of file descriptors.
#ifndef KVMCHAN_UNIQUE_FD_HPP
#define KVMCHAN_UNIQUE_FD_HPP

#include <system_error>
#include <utility>

namespace kvmchan {

/** Owns a file descriptor and closes it. Move-only; -1 is the empty state. */
class unique_fd {
public:
	unique_fd() noexcept = default;
	explicit unique_fd(int fd) noexcept : fd_{fd} {}
	unique_fd(unique_fd &&other) noexcept : fd_{other.release()} {}
	unique_fd &operator=(unique_fd &&other) noexcept
	{
		reset(other.release());
		return *this;
	}
	unique_fd(const unique_fd &) = delete;
	unique_fd &operator=(const unique_fd &) = delete;
	~unique_fd() { reset(); }

	int get() const noexcept { return fd_; }
	explicit operator bool() const noexcept { return fd_ >= 0; }

	/** Gives the descriptor up without closing it. */
	int release() noexcept { return std::exchange(fd_, -1); }

	/** Closes what is owned and takes @p fd. Keeps errno. */
	void reset(int fd = -1) noexcept;

	/** A second, close-on-exec descriptor of the same file description. */
	unique_fd duplicate(std::error_code &ec) const noexcept;
	unique_fd duplicate() const;

private:
	int fd_ = -1;
};

} // namespace kvmchan

#endif
