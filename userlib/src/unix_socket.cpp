// SPDX-License-Identifier: MIT
#include "unix_socket.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace kvmchan {
namespace {

constexpr int backlog = 128;

std::error_code last_error() noexcept
{
	return {errno, std::system_category()};
}

bool fill_address(const std::filesystem::path &path, sockaddr_un &address, std::error_code &ec) noexcept
{
	const std::string &name = path.native();

	address = {};
	address.sun_family = AF_UNIX;
	if (name.empty() || name.size() >= sizeof(address.sun_path)) {
		ec = std::make_error_code(name.empty() ? std::errc::invalid_argument : std::errc::filename_too_long);
		return false;
	}
	std::memcpy(address.sun_path, name.data(), name.size());
	return true;
}

const sockaddr *as_sockaddr(const sockaddr_un &address) noexcept
{
	return reinterpret_cast<const sockaddr *>(&address);
}

bool same_file(int fd, const char *path) noexcept
{
	struct stat open {}, named {};

	return ::fstat(fd, &open) == 0 && ::lstat(path, &named) == 0 && open.st_dev == named.st_dev &&
	       open.st_ino == named.st_ino;
}

/*
 * The holder of the lock removes the lock file when it ends, so a lock counts
 * only if the file is still the one under that name.
 */
unique_fd lock_path(const std::filesystem::path &path, std::error_code &ec) noexcept
{
	for (;;) {
		unique_fd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
		struct flock lock {};

		lock.l_type = F_WRLCK;
		lock.l_whence = SEEK_SET;
		if (!fd) {
			ec = last_error();
			return {};
		}
		if (::fcntl(fd.get(), F_OFD_SETLK, &lock) < 0) {
			const bool taken = errno == EAGAIN || errno == EACCES;

			ec.assign(taken ? EADDRINUSE : errno, std::system_category());
			return {};
		}
		if (same_file(fd.get(), path.c_str()))
			return fd;
	}
}

/*
 * Is somebody listening there? A datagram socket asks: the kernel answers
 * "wrong type" when the path has a live stream socket and "refused" when it
 * has none. A stream connect() would be a visit, and a visitor that leaves at
 * once ends QEMU's example server.
 */
bool somebody_listens(const sockaddr_un &address, std::error_code &ec) noexcept
{
	const unique_fd probe{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

	if (!probe) {
		ec = last_error();
		return true;
	}
	return ::connect(probe.get(), as_sockaddr(address), sizeof(address)) == 0 || errno != ECONNREFUSED;
}

bool remove_stale(const std::filesystem::path &path, const sockaddr_un &address, std::error_code &ec) noexcept
{
	struct stat st {};

	if (::lstat(path.c_str(), &st) < 0) {
		if (errno == ENOENT)
			return true;
		ec = last_error();
		return false;
	}
	if (!S_ISSOCK(st.st_mode)) {
		ec = std::make_error_code(std::errc::file_exists);
		return false;
	}
	if (somebody_listens(address, ec)) {
		if (!ec)
			ec = std::make_error_code(std::errc::address_in_use);
		return false;
	}
	if (::unlink(path.c_str()) < 0 && errno != ENOENT) {
		ec = last_error();
		return false;
	}
	return true;
}

std::filesystem::path lock_name(std::filesystem::path path)
{
	return path += ".lock";
}

} // namespace

unix_listener::unix_listener(unix_listener &&other) noexcept
	: path_{std::move(other.path_)}, lock_{std::move(other.lock_)}, socket_{std::move(other.socket_)}
{
}

unix_listener &unix_listener::operator=(unix_listener &&other) noexcept
{
	if (this != &other) {
		close();
		path_ = std::move(other.path_);
		lock_ = std::move(other.lock_);
		socket_ = std::move(other.socket_);
	}
	return *this;
}

unix_listener unix_listener::listen(const std::filesystem::path &path, mode_t mode, std::error_code &ec)
{
	unix_listener made;
	sockaddr_un address{};

	ec.clear();
	if (!fill_address(path, address, ec))
		return {};
	made.lock_ = lock_path(lock_name(path), ec);
	if (ec)
		return {};
	made.path_ = path;
	if (!remove_stale(path, address, ec))
		return {};

	unique_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

	if (!fd || ::bind(fd.get(), as_sockaddr(address), sizeof(address)) < 0) {
		ec = last_error();
		return {};
	}
	made.socket_ = std::move(fd);
	/* Nobody can connect before listen(), whatever the umask made of the mode. */
	if (::chmod(path.c_str(), mode) < 0 || ::listen(made.socket_.get(), backlog) < 0) {
		ec = last_error();
		return {};
	}
	return made;
}

unix_listener unix_listener::listen(const std::filesystem::path &path, mode_t mode)
{
	std::error_code ec;
	unix_listener made = listen(path, mode, ec);

	if (ec == std::errc::address_in_use)
		throw std::system_error{ec, "socket " + path.string() + ": another server has it"};
	if (ec == std::errc::filename_too_long)
		throw std::system_error{ec, "socket " + path.string() + ": at most " +
		                                    std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " characters"};
	if (ec)
		throw std::system_error{ec, "socket " + path.string()};
	return made;
}

unix_listener unix_listener::adopt(const std::filesystem::path &path, mode_t mode, unique_fd socket, unique_fd lock)
{
	unix_listener made;
	sockaddr_un bound{};
	socklen_t length = sizeof(bound);
	int listens = 0;
	socklen_t listens_length = sizeof(listens);
	struct stat st {};

	if (::lstat(path.c_str(), &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    !same_file(lock.get(), lock_name(path).c_str()) ||
	    ::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_length) < 0 || !listens ||
	    ::getsockname(socket.get(), reinterpret_cast<sockaddr *>(&bound), &length) < 0 || path != bound.sun_path) {
		socket.reset();
		lock.reset();
		return listen(path, mode);
	}
	made.path_ = path;
	made.socket_ = std::move(socket);
	made.lock_ = std::move(lock);
	return made;
}

void unix_listener::assign_group(gid_t group, std::error_code &ec) noexcept
{
	ec.clear();
	if (::chown(path_.c_str(), static_cast<uid_t>(-1), group) < 0)
		ec = last_error();
}

unique_fd unix_listener::accept(std::error_code &ec) noexcept
{
	unique_fd fd{::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};

	if (fd)
		ec.clear();
	else
		ec = last_error();
	return fd;
}

void unix_listener::close() noexcept
{
	if (socket_)
		::unlink(path_.c_str());
	if (lock_)
		::unlink(lock_name(path_).c_str());
	socket_.reset();
	lock_.reset();
}

void unix_listener::leave() noexcept
{
	socket_.reset();
	lock_.reset();
}

unique_fd unix_connect(const std::filesystem::path &path, std::error_code &ec) noexcept
{
	sockaddr_un address{};

	ec.clear();
	if (!fill_address(path, address, ec))
		return {};

	unique_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

	if (!fd || ::connect(fd.get(), as_sockaddr(address), sizeof(address)) < 0) {
		ec = last_error();
		return {};
	}
	return fd;
}

peer_credentials unix_credentials(int fd, std::error_code &ec) noexcept
{
	ucred credentials{};
	socklen_t length = sizeof(credentials);

	ec.clear();
	if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) {
		ec = last_error();
		return {};
	}
	return {credentials.pid, credentials.uid, credentials.gid};
}

} // namespace kvmchan
