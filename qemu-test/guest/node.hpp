// SPDX-License-Identifier: MIT
/*
 * The nodes of a guest that has both sides of every channel: two ivshmem
 * devices over the same memory, of which one prefers side 0.
 */
#pragma once

#include "uapi/kvmchan.h"
#include "unique_fd.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace node {

using kvmchan::unique_fd;
using namespace std::chrono_literals;

/** Bounds how long a broken run hangs; nothing is judged by it. */
inline constexpr std::chrono::seconds patience{60};

[[noreturn]] inline void fail(const std::string &what, int error = errno)
{
	throw std::system_error{error, std::generic_category(), what};
}

/** For a test whose other threads wait for ever now: ends the program, which fails it. */
[[noreturn]] inline void give_up(const std::string &what)
{
	ADD_FAILURE() << what;
	std::fflush(nullptr);
	std::_Exit(1);
}

/** Waits until @p condition holds; false if it never does. */
template <typename Condition>
bool eventually(Condition condition)
{
	const auto limit = std::chrono::steady_clock::now() + patience;
	while (!condition()) {
		if (std::chrono::steady_clock::now() > limit)
			return false;
		std::this_thread::sleep_for(1ms);
	}
	return true;
}

/** How much a test does: environment, then /tmp/amounts/NAME, then the default. */
inline std::uint64_t amount(const char *name, std::uint64_t usual)
{
	std::string text;
	if (const char *value = std::getenv(name))
		text = value;
	else
		std::ifstream{std::filesystem::path{"/tmp/amounts"} / name} >> text;
	return text.empty() ? usual : std::stoull(text);
}

/* ---- finding ---- */

inline std::string first_line(const std::filesystem::path &file)
{
	std::ifstream in{file};
	std::string line;
	std::getline(in, line);
	return line;
}

inline bool is_node(const std::filesystem::path &path, std::string_view name, unsigned side)
{
	return first_line(path / "name") == name && first_line(path / "side") == std::to_string(side);
}

/** The sysfs directory of a node, or an empty path. */
inline std::filesystem::path find(std::string_view name, unsigned side)
{
	// There may be hundreds: look first where it was the last time.
	static std::map<std::pair<std::string, unsigned>, std::filesystem::path> known;
	static std::mutex mutex;
	const std::lock_guard lock{mutex};
	auto &path = known[{std::string{name}, side}];
	if (!path.empty() && is_node(path, name, side))
		return path;
	path.clear();
	std::error_code ec;
	for (const auto &entry : std::filesystem::directory_iterator{"/sys/class/kvmchan", ec}) {
		if (is_node(entry.path(), name, side))
			return path = entry.path();
	}
	return {};
}

/** The same; waits for a node that is about to come. */
inline std::filesystem::path sysfs(std::string_view name, unsigned side)
{
	std::filesystem::path found;
	if (!eventually([&] { return !(found = find(name, side)).empty(); }))
		fail("no node for side " + std::to_string(side) + " of " + std::string{name}, ENOENT);
	return found;
}

inline std::string device(std::string_view name, unsigned side)
{
	// What the one lookup finds may be gone, and back by another number, at the next.
	std::filesystem::path path;
	eventually([&] { return std::filesystem::exists(path = "/dev" / sysfs(name, side).filename()); });
	return path;
}

inline std::string attribute(std::string_view name, unsigned side, std::string_view file)
{
	return first_line(sysfs(name, side) / file);
}

inline std::uint64_t counter(std::string_view name, unsigned side, std::string_view file)
{
	return std::stoull(attribute(name, side, std::string{"statistics/"} + std::string{file}));
}

/** Does the kernel log hold this? */
inline bool logged(std::string_view text)
{
	const unique_fd log{::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
	char line[8192];
	for (ssize_t n; (n = ::read(log.get(), line, sizeof(line))) > 0 || errno == EPIPE;) {
		if (n > 0 && std::string_view{line, static_cast<std::size_t>(n)}.find(text) != std::string_view::npos)
			return true;
	}
	return false;
}

/* ---- opening ---- */

inline constexpr int nonblocking = O_RDWR | O_NONBLOCK;

/** -1 and errno if it cannot be opened. */
inline unique_fd try_side(std::string_view name, unsigned side, int flags = nonblocking)
{
	return unique_fd{::open(device(name, side).c_str(), flags | O_CLOEXEC)};
}

inline unique_fd open_side(std::string_view name, unsigned side, int flags = nonblocking)
{
	auto fd = try_side(name, side, flags);
	if (!fd)
		fail("open side " + std::to_string(side) + " of " + std::string{name});
	return fd;
}

inline kvmchan_info info(const unique_fd &fd)
{
	kvmchan_info i;
	std::memset(&i, 0xff, sizeof(i));
	if (::ioctl(fd.get(), KVMCHAN_IOC_INFO, &i) != 0)
		fail("KVMCHAN_IOC_INFO");
	return i;
}

inline std::uint32_t state(const unique_fd &fd)
{
	return info(fd).state;
}

/** Takes in what former sessions left behind. */
inline void settle(std::string_view name)
{
	for (const unsigned side : {0U, 1U})
		open_side(name, side);
}

inline bool connected(const unique_fd &a, const unique_fd &b)
{
	return eventually([&] {
		return state(a) == KVMCHAN_STATE_CONNECTED && state(b) == KVMCHAN_STATE_CONNECTED;
	});
}

/** What the region holds of a channel, and what the driver believes. */
inline std::string words(std::string_view name, unsigned side)
{
	std::ifstream in{"/sys/kernel/debug/kvmchan" / sysfs(name, side).filename()};
	std::string all = "\nside " + std::to_string(side) + ":", line;
	while (std::getline(in, line))
		all += ' ' + line + ',';
	return all;
}

/** Both sides of a channel. */
struct pair {
	unique_fd a; ///< side 0
	unique_fd b; ///< side 1
};

/** Opens both sides in new sessions that have paired with each other. */
inline pair connect(std::string_view name, int flags_a = nonblocking, int flags_b = nonblocking)
{
	settle(name);
	pair p{open_side(name, 0, flags_a), open_side(name, 1, flags_b)};
	if (!connected(p.a, p.b))
		fail(std::string{name} + " does not connect:" + words(name, 0) + words(name, 1), ETIMEDOUT);
	return p;
}

inline void set_blocking(const unique_fd &fd, bool on)
{
	const int flags = ::fcntl(fd.get(), F_GETFL);
	if (flags < 0 || ::fcntl(fd.get(), F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) < 0)
		fail("fcntl");
}

/* ---- polling ---- */

/** What poll() reports now. */
inline short ready(const unique_fd &fd, short events = POLLIN | POLLOUT | POLLRDHUP)
{
	pollfd p{fd.get(), events, 0};
	if (::poll(&p, 1, 0) < 0)
		fail("poll");
	return p.revents;
}

/** Sleeps in one poll() until it reports something; 0: it never did. */
inline short await(const unique_fd &fd, short events)
{
	pollfd p{fd.get(), events, 0};
	int n;
	do
		n = ::poll(&p, 1, static_cast<int>(std::chrono::milliseconds{patience}.count()));
	while (n < 0 && errno == EINTR);
	return n > 0 ? p.revents : short{0};
}

/* ---- moving bytes, by descriptors that do not block ---- */

inline std::string bytes(std::size_t count, char first = 'a')
{
	std::string s(count, '\0');
	for (std::size_t i = 0; i < count; ++i)
		s[i] = static_cast<char>(first + static_cast<char>(i % 23));
	return s;
}

inline ssize_t write(const unique_fd &fd, std::string_view text)
{
	return ::write(fd.get(), text.data(), text.size());
}

/** One read(); its result in errno if it fails. */
inline ssize_t read(const unique_fd &fd, std::string &to, std::size_t most = 65536)
{
	to.assign(most, '\0');
	const auto n = ::read(fd.get(), to.data(), most);
	to.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
	return n;
}

inline void write_all(const unique_fd &fd, std::string_view text)
{
	while (!text.empty()) {
		const auto n = write(fd, text);
		if (n > 0)
			text.remove_prefix(static_cast<std::size_t>(n));
		else if (errno != EAGAIN)
			fail("write");
		else if (!await(fd, POLLOUT))
			fail("write: no room comes", ETIMEDOUT);
	}
}

/** Reads until @p count bytes are there, or the end of file. */
inline std::string read_all(const unique_fd &fd, std::size_t count)
{
	std::string all, some;
	while (all.size() < count) {
		const auto n = read(fd, some, count - all.size());
		if (n > 0)
			all += some;
		else if (n == 0)
			break;
		else if (errno != EAGAIN)
			fail("read");
		else if (!await(fd, POLLIN))
			fail("read: no bytes come", ETIMEDOUT);
	}
	return all;
}

/** Waits for end of file; false if bytes come, or nothing. */
inline bool at_end(const unique_fd &fd)
{
	char c;
	ssize_t n;
	while ((n = ::read(fd.get(), &c, 1)) < 0 && errno == EAGAIN) {
		if (!await(fd, POLLIN))
			return false;
	}
	return n == 0;
}

/** Waits until the peer's doings give @p error on write(). */
inline bool writing_fails_with(const unique_fd &fd, int error)
{
	return eventually([&] { return ::write(fd.get(), "x", 1) < 0 && errno == error; });
}

/** Both sides can be had, at the latest soon. */
inline void await_both(const std::string &name)
{
	for (const unsigned side : {0U, 1U})
		EXPECT_TRUE(eventually([&] { return bool{try_side(name, side)}; })) << name << ": " << std::strerror(errno);
}

/** And bytes pass both ways. */
inline void expect_works(const std::string &name)
{
	await_both(name);
	const auto p = connect(name);
	write_all(p.a, "works");
	EXPECT_EQ(read_all(p.b, 5), "works") << name;
	write_all(p.b, "well");
	EXPECT_EQ(read_all(p.a, 4), "well") << name;
}

} // namespace node
