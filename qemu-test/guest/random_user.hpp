// SPDX-License-Identifier: MIT
/*
 * Single operations on nodes of the driver, with arguments that are right,
 * nearly right or noise, on what other threads use at the same time.
 */
#pragma once

#include "shared_descriptors.hpp"

#include <array>
#include <random>

#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

namespace node {

namespace fs = std::filesystem;

inline const fs::path driver = "/sys/bus/pci/drivers/kvmchan";

/** A thread that does what it is told, with arguments of its own choice. */
class random_user {
	static constexpr std::size_t page = 4096;

public:
	random_user(shared_descriptors &shared, std::uint64_t seed) : shared_{shared}, random_{seed} {}

	/* Each says whether it succeeded. */
	bool open_node();
	bool close_one();
	bool read_some();
	bool write_some();
	bool read_vector();
	bool write_vector();
	bool splice_through();
	bool send_file();
	bool poll_some();
	bool epoll_change();
	bool epoll_look();
	bool control();
	bool control_with_noise();
	bool map();
	bool unmap();
	bool change_mapping();
	bool touch_mapping();
	bool change_flags();
	bool duplicate();
	bool fork_one();
	bool submit();
	bool cancel_or_reap();
	bool use_as_file();
	bool read_attribute();
	bool write_attribute();

private:
	std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
	bool one_in(std::uint64_t n) { return below(n) == 0; }
	int any() { return shared_.descriptor(below(shared_descriptors::count)); }
	void *mapping(std::size_t &length) { return shared_.mapping(below(shared_descriptors::count), length); }

	/* Few bytes, a page or two, or more than any ring holds. */
	std::size_t length()
	{
		switch (below(8)) {
		case 0: return 0;
		case 1: return below(1 << 17);
		case 2: return page * below(4);
		default: return below(700);
		}
	}
	/* Good memory most of the time; the channels' own, memory with a hole, and no memory, at times. */
	void *buffer()
	{
		static const auto wild = std::to_array<std::uintptr_t>({0, 1, page - 1, 0x7ffffffff000, ~0UL, ~0UL << 47, 0xffff888000000000});
		std::size_t size = 0;
		switch (below(16)) {
		case 0: return reinterpret_cast<void *>(wild[below(wild.size())]);
		case 1:
		case 2:
			if (void *at = mapping(size))
				return at;
			[[fallthrough]];
		case 3: return shared_.edge() - below(2 * page);
		default: return shared_.memory() + below(page);
		}
	}
	std::vector<iovec> vectors()
	{
		std::vector<iovec> v(below(6));
		for (auto &each : v)
			each = {buffer(), length()};
		return v;
	}
	/* The directory itself, if it has none, or goes away meanwhile. */
	fs::path entry_of(const fs::path &directory)
	{
		std::vector<fs::path> all;
		try {
			for (const auto &each : fs::directory_iterator{directory})
				all.push_back(each.path());
		} catch (const fs::filesystem_error &) {
			return directory;
		}
		return all.empty() ? directory : all[below(all.size())];
	}
	static bool read_file(const fs::path &file)
	{
		const unique_fd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
		char text[page];
		return fd && ::read(fd.get(), text, sizeof(text)) >= 0;
	}
	static bool write_file(const fs::path &file, std::string_view text)
	{
		const unique_fd fd{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
		return fd && write(fd, text) > 0;
	}

	shared_descriptors &shared_;
	std::mt19937_64 random_;
};

inline bool random_user::open_node()
{
	static const auto access = std::to_array<int>({O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY});
	const auto where = "/dev" / entry_of("/sys/class/kvmchan").filename();
	const int flags = access[below(access.size())] | O_CLOEXEC | (one_in(4) ? 0 : O_NONBLOCK) |
			  (one_in(16) ? O_APPEND : 0) | (one_in(16) ? O_TRUNC : 0);
	return shared_.put(below(shared_descriptors::count), ::open(where.c_str(), flags));
}

inline bool random_user::close_one()
{
	return shared_.put(below(shared_descriptors::count), -1);
}

inline bool random_user::read_some()
{
	return ::read(any(), buffer(), length()) >= 0;
}

/* A session that is over is begun anew, or there would be none soon. */
inline bool random_user::write_some()
{
	const int fd = any();
	const bool good = ::write(fd, buffer(), length()) >= 0;
	if (!good && errno == EPIPE && one_in(2))
		::ioctl(fd, KVMCHAN_IOC_RECONNECT);
	return good;
}

inline bool random_user::read_vector()
{
	const auto v = vectors();
	return ::preadv2(any(), v.data(), static_cast<int>(v.size()), -1, one_in(2) ? RWF_NOWAIT : 0) >= 0;
}

inline bool random_user::write_vector()
{
	const auto v = vectors();
	return ::pwritev2(any(), v.data(), static_cast<int>(v.size()), -1, one_in(2) ? RWF_NOWAIT : 0) >= 0;
}

inline bool random_user::splice_through()
{
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	const unique_fd from{ends[0]}, to{ends[1]};
	const unsigned flags = one_in(2) ? SPLICE_F_NONBLOCK : 0;
	if (one_in(2))
		return ::splice(any(), nullptr, to.get(), nullptr, length(), flags) > 0;
	const std::string text(1 + below(2 * page), 's');
	if (write(to, text) < 0)
		return false;
	return ::splice(from.get(), nullptr, any(), nullptr, length(), flags) > 0;
}

inline bool random_user::send_file()
{
	off_t from = static_cast<off_t>(below(page));
	return ::sendfile(any(), shared_.file(), &from, length()) > 0;
}

inline bool random_user::poll_some()
{
	std::array<pollfd, 4> set;
	for (auto &each : set)
		each = {any(), static_cast<short>(random_()), 0};
	return ::poll(set.data(), set.size(), one_in(8) ? 3 : 0) > 0;
}

inline bool random_user::epoll_change()
{
	epoll_event event{};
	event.events = static_cast<std::uint32_t>(random_()) & (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET | EPOLLONESHOT);
	return ::epoll_ctl(shared_.epoll(), static_cast<int>(1 + below(3)), any(), &event) == 0;
}

inline bool random_user::epoll_look()
{
	std::array<epoll_event, 8> events;
	return ::epoll_wait(shared_.epoll(), events.data(), events.size(), one_in(8) ? 3 : 0) > 0;
}

/* Arguments that could make sense. */
inline bool random_user::control()
{
	union {
		kvmchan_info info;
		kvmchan_lowat lowat;
		kvmchan_wait wait;
		kvmchan_rings rings;
		int number;
	} arg{};
	const int fd = any();
	switch (below(12)) {
	case 0: return ::ioctl(fd, KVMCHAN_IOC_INFO, &arg) == 0;
	case 1: return ::ioctl(fd, KVMCHAN_IOC_SHUTDOWN, below(3)) == 0;
	case 2: return ::ioctl(fd, KVMCHAN_IOC_GET_LOWAT, &arg) == 0;
	case 3:
		arg.lowat = {below(5000), below(5000)};
		return ::ioctl(fd, KVMCHAN_IOC_SET_LOWAT, &arg) == 0;
	case 4: return ::ioctl(fd, KVMCHAN_IOC_LAST_RECORD, &arg) == 0;
	case 5: return ::ioctl(fd, KVMCHAN_IOC_RECONNECT) == 0;
	case 6: return ::ioctl(fd, KVMCHAN_IOC_SPACE, &arg) == 0;
	case 7: return ::ioctl(fd, KVMCHAN_IOC_SIGNAL) == 0;
	case 8:
		arg.wait = {below(4), static_cast<std::int64_t>(below(3)) * 100'000 - 100'000};
		return ::ioctl(fd, KVMCHAN_IOC_WAIT, &arg) == 0;
	case 9: return ::ioctl(fd, KVMCHAN_IOC_MAP_RINGS, 1 + below(3)) == 0;
	case 10:
		arg.rings = {below(5000), below(5000), static_cast<std::int64_t>(below(3)) * 100'000 - 100'000, 0, 0, 0, 0, 0};
		return ::ioctl(fd, KVMCHAN_IOC_RINGS, &arg) == 0;
	default: return ::ioctl(fd, KVMCHAN_IOC_KICK, 1 + below(3)) == 0;
	}
}

/* Codes that there are, or nearly so, with arguments that are neither. */
inline bool random_user::control_with_noise()
{
	static const auto codes = std::to_array<unsigned long>(
		{KVMCHAN_IOC_INFO, KVMCHAN_IOC_SHUTDOWN, KVMCHAN_IOC_GET_LOWAT, KVMCHAN_IOC_SET_LOWAT, KVMCHAN_IOC_LAST_RECORD,
	         KVMCHAN_IOC_RECONNECT, KVMCHAN_IOC_SPACE, KVMCHAN_IOC_SIGNAL, KVMCHAN_IOC_WAIT, KVMCHAN_IOC_MAP_RINGS,
	         KVMCHAN_IOC_RINGS, KVMCHAN_IOC_KICK, FIONREAD});
	auto code = codes[below(codes.size())];
	if (one_in(2))
		code = _IOC(below(4), KVMCHAN_IOC_MAGIC, one_in(8) ? random_() & 0xff : 0xc0 + below(16), below(1 << _IOC_SIZEBITS));
	for (std::size_t i = 0; i < 256; i += 8) {
		const auto noise = random_() >> below(64);
		std::memcpy(shared_.memory() + i, &noise, sizeof(noise));
	}
	void *const where = one_in(2) ? shared_.memory() : buffer();
	return ::ioctl(any(), code, one_in(4) ? reinterpret_cast<void *>(below(8)) : where) == 0;
}

inline bool random_user::map()
{
	static const auto starts = std::to_array<std::uint64_t>(
		{KVMCHAN_MMAP_OWN_INDEX, KVMCHAN_MMAP_PEER_INDEX, KVMCHAN_MMAP_TX, KVMCHAN_MMAP_RX});
	const std::size_t size = page * (one_in(2) ? 1 : 1 + below(40));
	const auto offset = starts[below(starts.size())] + (one_in(2) ? page * below(40) : 0);
	const int fd = any();
	if (one_in(2))
		::ioctl(fd, KVMCHAN_IOC_MAP_RINGS, static_cast<unsigned long>(KVMCHAN_RING_RX | KVMCHAN_RING_TX));
	const int protection = one_in(3) ? PROT_READ : PROT_READ | PROT_WRITE;
	static_assert(page * 40 <= shared_descriptors::mapping_most);
	void *at = ::mmap(nullptr, size, protection, (one_in(16) ? MAP_PRIVATE : MAP_SHARED) | (one_in(4) ? MAP_POPULATE : 0),
	                  fd, static_cast<off_t>(offset));
	return at != MAP_FAILED && shared_.put_mapping(below(shared_descriptors::count), at, size);
}

inline bool random_user::unmap()
{
	return shared_.put_mapping(below(shared_descriptors::count), nullptr, 0);
}

/* What is mapped stays, so that no thread ever touches what is another's. */
inline bool random_user::change_mapping()
{
	static const auto advice = std::to_array<int>({MADV_NORMAL, MADV_WILLNEED, MADV_DONTNEED, MADV_POPULATE_READ,
	                                               MADV_POPULATE_WRITE, MADV_DOFORK, MADV_DONTFORK, MADV_PAGEOUT});
	std::size_t size = 0;
	void *at = mapping(size);
	if (!at)
		return false;
	switch (below(3)) {
	case 0: return ::mprotect(at, size, one_in(2) ? PROT_READ : PROT_READ | PROT_WRITE) == 0;
	case 1: return ::msync(at, size, MS_SYNC) == 0;
	default: return ::madvise(at, size, advice[below(advice.size())]) == 0;
	}
}

/* Through the kernel, which gets an error where we would get a signal. */
inline bool random_user::touch_mapping()
{
	std::size_t size = 0;
	void *at = mapping(size);
	if (!at)
		return false;
	const auto start = static_cast<char *>(at) + below(size);
	return one_in(2) ? ::pwrite(shared_.file(), start, 1 + below(page), 0) > 0 :
			   ::pread(shared_.file(), start, 1 + below(page), 0) > 0;
}

inline bool random_user::change_flags()
{
	const int fd = any();
	switch (below(4)) {
	case 0: return ::fcntl(fd, F_SETOWN, ::getpid()) == 0;
	case 1: return ::fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) == 0;
	case 2: return ::fcntl(fd, F_SETFL, one_in(4) ? 0 : O_NONBLOCK) == 0;
	default: return ::fcntl(fd, F_SETPIPE_SZ, random_()) >= 0 || errno == EBADF;
	}
}

inline bool random_user::duplicate()
{
	return shared_.put(below(shared_descriptors::count), ::fcntl(any(), F_DUPFD_CLOEXEC, 0));
}

/* The child has the files and not the mappings; it may only do what a signal handler may. */
inline bool random_user::fork_one()
{
	const int first = any(), second = any();
	const pid_t child = ::fork();
	if (child == 0) {
		char text[64] = "from a child";
		::fcntl(first, F_SETFL, O_NONBLOCK);
		[[maybe_unused]] const auto written = ::write(first, text, sizeof(text));
		[[maybe_unused]] const auto got = ::read(first, text, sizeof(text));
		::ioctl(second, KVMCHAN_IOC_KICK, 3UL);
		::close(second);
		::_exit(0);
	}
	if (child < 0)
		return false;
	while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR)
		;
	return true;
}

inline bool random_user::submit()
{
	static const auto codes = std::to_array<std::uint8_t>({IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ, IORING_OP_WRITE,
	                                                       IORING_OP_POLL_ADD, IORING_OP_SPLICE, IORING_OP_CLOSE});
	io_uring_sqe s{};
	s.opcode = codes[below(codes.size())];
	s.fd = any();
	s.flags = one_in(8) ? IOSQE_ASYNC : 0;
	s.off = ~0ULL;
	s.user_data = below(64);
	if (s.opcode == IORING_OP_POLL_ADD) {
		s.poll32_events = static_cast<std::uint32_t>(random_()) & 0xffff;
	} else if (s.opcode == IORING_OP_CLOSE) {
		// Of a descriptor of its own.
		s.fd = ::dup(s.fd);
		s.off = 0;
	} else {
		s.addr = reinterpret_cast<std::uintptr_t>(buffer());
		s.len = static_cast<std::uint32_t>(length());
	}
	return s.fd >= 0 && shared_.with_uring([&](uring &ring) { ring.submit(s); });
}

inline bool random_user::cancel_or_reap()
{
	io_uring_sqe s{};
	s.opcode = IORING_OP_ASYNC_CANCEL;
	s.fd = -1;
	s.addr = below(64);
	s.user_data = 64;
	return shared_.with_uring([&](uring &ring) {
		if (one_in(2))
			ring.submit(s);
		for (int i = 0; i < 8; ++i)
			ring.completed();
	});
}

inline bool random_user::use_as_file()
{
	const int fd = any();
	struct stat status;
	switch (below(6)) {
	case 0: return ::lseek(fd, static_cast<off_t>(random_()), SEEK_SET) < 0;
	case 1: return ::ftruncate(fd, 0) != 0;
	case 2: return ::fsync(fd) != 0;
	case 3: return ::fallocate(fd, 0, 0, page) != 0;
	case 4: return ::pread(fd, shared_.memory(), 10, 10) < 0;
	default: return ::fstat(fd, &status) == 0;
	}
}

inline bool random_user::read_attribute()
{
	static const auto places = std::to_array<const char *>({"/sys/kernel/debug/kvmchan", "/sys/class/kvmchan"});
	auto at = entry_of(places[below(places.size())]);
	for (int depth = 0; depth < 2; ++depth)
		at = entry_of(at);
	return read_file(at);
}

inline bool random_user::write_attribute()
{
	const auto device = entry_of(driver);
	switch (below(3)) {
	case 0: return write_file(device / "ivshmem/rescan", "1");
	case 1: return write_file(device / "ivshmem/prefer_side", one_in(2) ? "0" : "1");
	default: return write_file("/sys/module/kvmchan/parameters/busy_poll_us", std::to_string(below(100)));
	}
}

} // namespace node
