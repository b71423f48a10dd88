// SPDX-License-Identifier: MIT
#include "daemon.hpp"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace kvmchan {
namespace {

[[noreturn]] void fail(const std::string &what)
{
	throw std::system_error{errno, std::system_category(), what};
}

/* One byte: the child is ready. End of file: it ended. */
[[noreturn]] void wait_as_parent(int from)
{
	char byte = 0;
	ssize_t length = 0;

	do
		length = ::read(from, &byte, sizeof(byte));
	while (length < 0 && errno == EINTR);
	::_exit(length == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

} // namespace

background background::enter()
{
	int ends[2];

	if (::pipe2(ends, O_CLOEXEC) < 0)
		fail("pipe");
	unique_fd from{ends[0]}, to{ends[1]};
	const pid_t child = ::fork();

	if (child < 0)
		fail("fork");
	if (child > 0) {
		to.reset();
		wait_as_parent(from.get());
	}
	if (::setsid() < 0)
		fail("setsid");
	return background{std::move(to)};
}

void background::ready() noexcept
{
	const unique_fd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
	const char byte = 0;

	for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
		if (null)
			::dup2(null.get(), fd);
	if (::write(parent_.get(), &byte, sizeof(byte)) < 0)
		errno = 0;	/* the parent was killed: nobody waits */
	parent_.reset();
}

pid_file::pid_file(std::filesystem::path path)
	: path_{std::move(path)}, fd_{::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)}
{
	const std::string text = std::to_string(::getpid()) + "\n";
	struct flock lock {};

	lock.l_type = F_WRLCK;
	lock.l_whence = SEEK_SET;
	if (!fd_)
		fail("pid file " + path_.string());
	if (::fcntl(fd_.get(), F_OFD_SETLK, &lock) < 0) {
		errno = EBUSY;
		fail("pid file " + path_.string() + " belongs to a running process");
	}
	if (::ftruncate(fd_.get(), 0) < 0 ||
	    ::write(fd_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
		fail("pid file " + path_.string());
}

pid_file::~pid_file()
{
	if (fd_)
		::unlink(path_.c_str());
}

void raise_descriptor_limit() noexcept
{
	rlimit limit{};

	if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		::setrlimit(RLIMIT_NOFILE, &limit);
	}
}

} // namespace kvmchan
