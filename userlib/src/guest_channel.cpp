// SPDX-License-Identifier: MIT
#include "guest_channel.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device_list.hpp"
#include "failure.hpp"
#include "guest_node.hpp"

namespace kvmchan::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/* How long one ppoll() may be, of what is left of a time-out. */
timespec to_timespec(nanoseconds left) noexcept
{
	const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);

	return {static_cast<time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

unique_fd open_node(const std::string &path, const channel_options &options)
{
	const int access = options.read ? options.write ? O_RDWR : O_RDONLY : O_WRONLY;
	unique_fd node{::open(path.c_str(), access | O_CLOEXEC | (options.nonblocking ? O_NONBLOCK : 0))};

	if (node)
		return node;
	const int error = errno;

	if (error == ENOENT)
		fail(error, path + " (is the module loaded, and has the region a channel of that name?)");
	if (error == EBUSY)
		fail(error, path + ": another process has it open");
	fail(error, path);
}

} // namespace

std::unique_ptr<channel_end> channel_end::open_device(const std::string &device, const channel_options &options)
{
	const std::string path = node_path(device);

	if (!options.read && !options.write)
		fail(EINVAL, "channel: neither for reading nor for writing");
	return std::make_unique<guest_channel>(open_node(path, options), path, options);
}

guest_channel::guest_channel(unique_fd node, const std::string &path, const channel_options &options)
	: node_{std::move(node)}, nonblocking_{options.nonblocking}
{
	kvmchan_info what{};

	if (const int error = info(what))
		fail(-error, path + (error == -ENOTTY ? " is no kvmchan node" : ""));
	if (what.kind != 1)
		fail(EINVAL, path + " is a memory block, not a channel");
	if (options.side >= 0 && static_cast<unsigned>(options.side) != what.side)
		fail(EINVAL, path + " is side " + std::to_string(what.side));
	mode_ = what.mode;
	if (!options.rx_lowat && !options.tx_lowat)
		return;
	kvmchan_lowat marks{};

	if (const int error = lowat(marks))
		fail(-error, path + ": low-water marks");
	marks.rx = options.rx_lowat ? options.rx_lowat : marks.rx;
	marks.tx = options.tx_lowat ? options.tx_lowat : marks.tx;
	if (const int error = set_lowat(marks))
		fail(-error, path + ": low-water marks: 1 to half the ring's size");
}

/*
 * A non-blocking call that finds nothing takes the handle's edges and then has
 * the driver look once more, which also arms it.
 */
template <typename Call>
ssize_t guest_channel::run(direction which, Call call) noexcept
{
	const auto once = [&]() -> ssize_t {
		ssize_t done;

		do
			done = call();
		while (done < 0 && errno == EINTR);
		return done < 0 ? -errno : done;
	};
	ssize_t done = once();
	ready_handle *const handle = handle_.load(std::memory_order_acquire);

	if (!handle)
		return done;
	if (done == -EAGAIN) {
		handle->settle(which);
		done = once();
	}
	if (done != -EAGAIN)
		handle->progress(which);
	return done;
}

ssize_t guest_channel::read(std::span<std::byte> to) noexcept
{
	return run(direction::rx, [&] { return ::read(node_.get(), to.data(), to.size()); });
}

ssize_t guest_channel::write(std::span<const std::byte> from) noexcept
{
	return run(direction::tx, [&] { return ::write(node_.get(), from.data(), from.size()); });
}

int guest_channel::recv(std::span<std::byte> to, std::size_t &length) noexcept
{
	length = 0;
	if (!packet())
		return -ENOTSUP;
	if (to.empty())
		return -EINVAL;
	const ssize_t got = read(to);
	__u32 whole = 0;

	if (got <= 0)
		return static_cast<int>(got);
	if (const int error = call_ioctl(node_.get(), KVMCHAN_IOC_LAST_RECORD, &whole))
		return error;
	length = whole;
	return 1;
}

int guest_channel::send(std::span<const std::byte> record) noexcept
{
	if (!packet())
		return -ENOTSUP;
	if (record.empty())
		return -EINVAL;
	const ssize_t sent = write(record);

	return sent < 0 ? static_cast<int>(sent) : 0;
}

int guest_channel::wait(event_mask interest, nanoseconds timeout) noexcept
{
	const bool limited = timeout.count() >= 0;
	const auto now = clock::now();
	const auto deadline = timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
	const int wanted = (interest & event_readable ? POLLIN | POLLRDHUP : 0) | (interest & event_writable ? POLLOUT : 0);

	for (;;) {
		const timespec left = to_timespec(std::max(nanoseconds{deadline - clock::now()}, nanoseconds{0}));
		pollfd entry{node_.get(), static_cast<short>(wanted), 0};
		const int ready = ::ppoll(&entry, 1, limited ? &left : nullptr, nullptr);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return ready < 0 ? -errno : 0;
		const bool gone = entry.revents & (POLLHUP | POLLERR | POLLNVAL);
		event_mask found = gone ? event_hangup : 0;

		if (gone || (entry.revents & (POLLIN | POLLRDHUP)))
			found |= interest & event_readable;
		if (gone || (entry.revents & POLLOUT))
			found |= interest & event_writable;
		return static_cast<int>(found);
	}
}

int guest_channel::native_handle() noexcept
{
	const std::lock_guard lock{handle_mutex_};

	if (handle_owner_)
		return handle_owner_->fd();
	try {
		auto made = std::make_unique<ready_handle>(false);

		made->set().add_device(node_.get());
		handle_owner_ = std::move(made);
	} catch (const std::system_error &error) {
		return -error.code().value();
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	}
	handle_.store(handle_owner_.get(), std::memory_order_release);
	return handle_owner_->fd();
}

int guest_channel::set_nonblocking(bool on) noexcept
{
	const int flags = ::fcntl(node_.get(), F_GETFL);

	if (flags < 0 || ::fcntl(node_.get(), F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return -errno;
	nonblocking_.store(on, std::memory_order_relaxed);
	return 0;
}

int guest_channel::info(kvmchan_info &out) noexcept
{
	return call_ioctl(node_.get(), KVMCHAN_IOC_INFO, &out);
}

int guest_channel::shutdown(int how) noexcept
{
	return call_ioctl(node_.get(), KVMCHAN_IOC_SHUTDOWN, static_cast<unsigned long>(how));
}

int guest_channel::reconnect() noexcept
{
	return call_ioctl(node_.get(), KVMCHAN_IOC_RECONNECT, 0UL);
}

int guest_channel::lowat(kvmchan_lowat &out) noexcept
{
	return packet() ? -ENOTSUP : call_ioctl(node_.get(), KVMCHAN_IOC_GET_LOWAT, &out);
}

int guest_channel::set_lowat(const kvmchan_lowat &marks) noexcept
{
	return packet() ? -ENOTSUP : call_ioctl(node_.get(), KVMCHAN_IOC_SET_LOWAT, &marks);
}

int guest_channel::counters(channel_counters &out) noexcept
{
	struct stat st {};

	if (::fstat(node_.get(), &st) < 0)
		return -errno;
	char where[64];

	std::snprintf(where, sizeof(where), "/sys/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	try {
		out = read_counters(where);
	} catch (const std::exception &) {
		return -ENOMEM;
	}
	return 0;
}

} // namespace kvmchan::detail
