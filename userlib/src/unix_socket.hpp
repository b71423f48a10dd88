// SPDX-License-Identifier: MIT
// AF_UNIX stream sockets by path: listening without taking over what is live.
#ifndef KVMCHAN_UNIX_SOCKET_HPP
#define KVMCHAN_UNIX_SOCKET_HPP

#include <filesystem>
#include <system_error>

#include <sys/types.h>

#include "unique_fd.hpp"

namespace kvmchan {

/** Who is at the other end of a socket, as the kernel says. */
struct peer_credentials {
	pid_t pid = -1;
	uid_t uid = static_cast<uid_t>(-1);
	gid_t gid = static_cast<gid_t>(-1);
};

/**
 * A listening socket that owns its path.
 *
 * The path is guarded by an OFD lock on "<path>.lock", held for as long as the
 * object lives, so that of two servers started at the same moment exactly one
 * gets it. A socket that is found there is removed only when it is stale, that
 * is, when nobody listens on it. Both files go away with the object.
 */
class unix_listener {
public:
	unix_listener() noexcept = default;
	unix_listener(unix_listener &&other) noexcept;
	unix_listener &operator=(unix_listener &&other) noexcept;
	~unix_listener() { close(); }

	/**
	 * Non-blocking, close-on-exec, with the file's permissions set to
	 * @p mode before anybody can connect.
	 *
	 * Errors: address_in_use when a server has the path; file_exists when it
	 * is something else than a socket; filename_too_long; what the system
	 * calls give.
	 */
	static unix_listener listen(const std::filesystem::path &path, mode_t mode, std::error_code &ec);
	/** The same; throws std::system_error naming the path. */
	static unix_listener listen(const std::filesystem::path &path, mode_t mode);

	/**
	 * A listener that another process, or program, had before: its socket and
	 * its lock. Where its path has gone meanwhile, or it is none, a new one.
	 */
	static unix_listener adopt(const std::filesystem::path &path, mode_t mode, unique_fd socket, unique_fd lock);

	int fd() const noexcept { return socket_.get(); }
	int lock_fd() const noexcept { return lock_.get(); }
	const std::filesystem::path &path() const noexcept { return path_; }
	explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

	/** Gives the socket's file to group @p group. */
	void assign_group(gid_t group, std::error_code &ec) noexcept;

	/**
	 * A waiting connection, non-blocking and close-on-exec.
	 * Errors: operation_would_block when there is none; too_many_files_open.
	 */
	unique_fd accept(std::error_code &ec) noexcept;

	/** Stops listening and removes the files. */
	void close() noexcept;
	/** Leaves the files to whoever has the descriptors as well. */
	void leave() noexcept;

private:
	std::filesystem::path path_;
	unique_fd lock_;
	unique_fd socket_;
};

/** Connects to a path; non-blocking from the start, so never waits. */
unique_fd unix_connect(const std::filesystem::path &path, std::error_code &ec) noexcept;

/** The credentials that the other end had when it connected. */
peer_credentials unix_credentials(int fd, std::error_code &ec) noexcept;

} // namespace kvmchan

#endif
