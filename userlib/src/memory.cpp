// SPDX-License-Identifier: MIT
#include "memory.hpp"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory_size.hpp"

namespace kvmchan {
namespace {

constexpr int wanted_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr mode_t object_mode = 0660;

std::error_code last_error() noexcept
{
	return {errno, std::system_category()};
}

std::error_code fail(std::errc error) noexcept
{
	return std::make_error_code(error);
}

bool fits_region(std::uint64_t size, std::error_code &ec) noexcept
{
	if (is_region_size(size) && size <= std::numeric_limits<std::size_t>::max())
		return true;
	ec = fail(std::errc::invalid_argument);
	return false;
}

/* One leading slash is POSIX's way to write it and QEMU's way not to. */
bool shm_name_is_good(const std::string &name) noexcept
{
	const auto slash = name.find('/', name.starts_with('/') ? 1 : 0);

	return slash == std::string::npos && name.size() > (name.starts_with('/') ? 1U : 0U) &&
	       name.size() <= NAME_MAX;
}

/*
 * Gives a new or empty object its size. It is reserved at once, because a full
 * /dev/shm would otherwise turn into a SIGBUS at some later store.
 */
bool size_object(int fd, std::uint64_t size, std::error_code &ec) noexcept
{
	struct stat st {};

	if (::fstat(fd, &st) < 0) {
		ec = last_error();
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		ec = fail(std::errc::not_supported);
		return false;
	}
	if (st.st_size != 0) {
		if (static_cast<std::uint64_t>(st.st_size) == size)
			return true;
		ec = fail(std::errc::file_exists);
		return false;
	}
	if (::ftruncate(fd, static_cast<off_t>(size)) < 0) {
		ec = last_error();
		return false;
	}
	const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));

	if (error != 0 && error != EOPNOTSUPP && error != EINVAL) {
		ec.assign(error, std::system_category());
		return false;
	}
	return true;
}

/*
 * Opens by @p open(flags, mode): first as a new object, so that we know whether
 * it is ours.
 */
template <typename Open>
unique_fd open_or_create(Open open, bool &created, std::error_code &ec) noexcept
{
	unique_fd fd{open(O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, object_mode)};

	created = static_cast<bool>(fd);
	if (!fd && errno == EEXIST)
		fd.reset(open(O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0));
	if (!fd)
		ec = last_error();
	return fd;
}

template <typename Make>
memory checked(Make make, const std::string &what)
{
	std::error_code ec;
	memory made = make(ec);

	if (ec)
		throw std::system_error{ec, what};
	return made;
}

std::string with_size(const std::string &what, std::uint64_t size)
{
	std::string text = what + ", " + format_size(size) + " bytes";

	if (!is_region_size(size))
		text += " (the size has to be a power of two from 4096 to " + format_size(region_size_max) + ")";
	return text;
}

} // namespace

mapping::mapping(int fd, std::uint64_t offset, std::size_t size, bool writable, std::error_code &ec) noexcept
{
	const int access = PROT_READ | (writable ? PROT_WRITE : 0);
	void *const at = ::mmap(nullptr, size, access, MAP_SHARED, fd, static_cast<off_t>(offset));

	if (at == MAP_FAILED) {
		ec = last_error();
		return;
	}
	ec.clear();
	data_ = static_cast<std::byte *>(at);
	size_ = size;
}

mapping::mapping(mapping &&other) noexcept
	: data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)}
{
}

mapping &mapping::operator=(mapping &&other) noexcept
{
	if (this != &other) {
		reset();
		data_ = std::exchange(other.data_, nullptr);
		size_ = std::exchange(other.size_, 0);
	}
	return *this;
}

void mapping::reset() noexcept
{
	if (data_)
		::munmap(data_, size_);
	data_ = nullptr;
	size_ = 0;
}

memory::memory(unique_fd fd, bool created, std::error_code &ec) noexcept
	: created_{created}
{
	struct stat st {};
	const int flags = ::fcntl(fd.get(), F_GETFL);

	if (flags < 0 || ::fstat(fd.get(), &st) < 0)
		ec = last_error();
	else if (!S_ISREG(st.st_mode))
		ec = fail(std::errc::not_supported);
	else if ((flags & O_ACCMODE) != O_RDWR || (flags & O_PATH) != 0)
		ec = fail(std::errc::permission_denied);
	else if (st.st_size < static_cast<off_t>(region_size_min))
		ec = fail(std::errc::invalid_argument);
	else
		mapping_ = mapping{fd.get(), static_cast<std::size_t>(st.st_size), ec};
	if (!ec)
		fd_ = std::move(fd);
}

memory memory::create_memfd(const std::string &name, std::uint64_t size, std::error_code &ec) noexcept
{
	ec.clear();
	if (!fits_region(size, ec))
		return {};

	unique_fd fd{::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING)};

	if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) < 0 ||
	    ::fcntl(fd.get(), F_ADD_SEALS, wanted_seals) < 0) {
		ec = last_error();
		return {};
	}
	return {std::move(fd), true, ec};
}

memory memory::create_memfd(const std::string &name, std::uint64_t size)
{
	return checked([&](std::error_code &ec) { return create_memfd(name, size, ec); },
	               with_size("memfd \"" + name + "\"", size));
}

memory memory::create_shm(const std::string &name, std::uint64_t size, std::error_code &ec) noexcept
{
	bool created = false;

	ec.clear();
	if (!fits_region(size, ec))
		return {};
	if (!shm_name_is_good(name)) {
		ec = fail(std::errc::invalid_argument);
		return {};
	}
	unique_fd fd = open_or_create(
		[&](int flags, mode_t mode) { return ::shm_open(name.c_str(), flags, mode); }, created, ec);

	if (fd && size_object(fd.get(), size, ec))
		return {std::move(fd), created, ec};
	if (created)
		::shm_unlink(name.c_str());
	return {};
}

memory memory::create_shm(const std::string &name, std::uint64_t size)
{
	return checked([&](std::error_code &ec) { return create_shm(name, size, ec); },
	               with_size("shared memory object \"" + name + "\"", size));
}

memory memory::create_file(const std::filesystem::path &path, std::uint64_t size, std::error_code &ec) noexcept
{
	bool created = false;

	ec.clear();
	if (!fits_region(size, ec))
		return {};
	unique_fd fd = open_or_create(
		[&](int flags, mode_t mode) { return ::open(path.c_str(), flags, mode); }, created, ec);

	if (fd && size_object(fd.get(), size, ec))
		return {std::move(fd), created, ec};
	if (created)
		::unlink(path.c_str());
	return {};
}

memory memory::create_file(const std::filesystem::path &path, std::uint64_t size)
{
	return checked([&](std::error_code &ec) { return create_file(path, size, ec); },
	               with_size("memory file " + path.string(), size));
}

memory memory::create_in(const std::filesystem::path &directory, std::uint64_t size, std::error_code &ec) noexcept
{
	ec.clear();
	if (!fits_region(size, ec))
		return {};
	/* Not O_TMPFILE: not every file system that has huge pages knows it. */
	std::string name = (directory / "kvmchan.XXXXXX").string();
	unique_fd fd{::mkostemp(name.data(), O_CLOEXEC)};

	if (!fd) {
		ec = last_error();
		return {};
	}
	::unlink(name.c_str());
	if (!size_object(fd.get(), size, ec))
		return {};
	return {std::move(fd), true, ec};
}

memory memory::create_in(const std::filesystem::path &directory, std::uint64_t size)
{
	return checked([&](std::error_code &ec) { return create_in(directory, size, ec); },
	               with_size("memory in " + directory.string(), size));
}

memory memory::open_shm(const std::string &name, std::error_code &ec) noexcept
{
	if (!shm_name_is_good(name)) {
		ec = fail(std::errc::invalid_argument);
		return {};
	}
	unique_fd fd{::shm_open(name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0)};

	if (!fd) {
		ec = last_error();
		return {};
	}
	return adopt(std::move(fd), ec);
}

memory memory::open_shm(const std::string &name)
{
	return checked([&](std::error_code &ec) { return open_shm(name, ec); },
	               "shared memory object \"" + name + "\"");
}

memory memory::open_file(const std::filesystem::path &path, std::error_code &ec) noexcept
{
	/* O_NONBLOCK: a FIFO in its place must not hold us up. */
	unique_fd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK)};

	if (!fd) {
		ec = last_error();
		return {};
	}
	return adopt(std::move(fd), ec);
}

memory memory::open_file(const std::filesystem::path &path)
{
	return checked([&](std::error_code &ec) { return open_file(path, ec); }, "memory file " + path.string());
}

memory memory::adopt(unique_fd fd, std::error_code &ec) noexcept
{
	ec.clear();
	return {std::move(fd), false, ec};
}

memory memory::adopt(unique_fd fd)
{
	return checked([&](std::error_code &ec) { return adopt(std::move(fd), ec); }, "received memory");
}

bool memory::sealed() const noexcept
{
	const int seals = ::fcntl(fd_.get(), F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

void memory::unlink_shm(const std::string &name, std::error_code &ec) noexcept
{
	ec.clear();
	if (::shm_unlink(name.c_str()) < 0)
		ec = last_error();
}

unique_fd reopen(int fd, std::error_code &ec) noexcept
{
	char path[32];

	std::snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

	unique_fd again{::open(path, O_RDWR | O_CLOEXEC)};

	if (again)
		ec.clear();
	else
		ec = last_error();
	return again;
}

} // namespace kvmchan
