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
	: ring_channel{options.nonblocking, options.busy_poll}, node_{std::move(node)}, link_{node_.get(), options.guard}
{
	kvmchan_info what{};

	if (const int error = info(what))
		fail(-error, path + (error == -ENOTTY ? " is no kvmchan node" : ""));
	if (what.kind != 1)
		fail(EINVAL, path + " is a memory block, not a channel");
	if (options.side >= 0 && static_cast<unsigned>(options.side) != what.side)
		fail(EINVAL, path + " is side " + std::to_string(what.side));
	mode_ = what.mode;
	rx_size_ = what.rx_size;
	tx_size_ = what.tx_size;
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
ssize_t guest_channel::run_node(direction which, Call call) noexcept
{
	const auto once = [&]() -> ssize_t {
		ssize_t done;

		do
			done = call();
		while (done < 0 && errno == EINTR);
		return done < 0 ? -errno : done;
	};
	ssize_t done = once();
	ready_handle *const waiter = handle();

	if (!waiter)
		return done;
	if (done == -EAGAIN) {
		waiter->settle(which);
		done = once();
	}
	if (done != -EAGAIN)
		waiter->progress(which);
	return done;
}

ssize_t guest_channel::read_node(std::span<std::byte> to) noexcept
{
	return run_node(direction::rx, [&] { return ::read(node_.get(), to.data(), to.size()); });
}

ssize_t guest_channel::write_node(std::span<const std::byte> from) noexcept
{
	return run_node(direction::tx, [&] { return ::write(node_.get(), from.data(), from.size()); });
}

int guest_channel::recv_node(std::span<std::byte> to, std::size_t &length) noexcept
{
	const ssize_t got = read_node(to);
	__u32 whole = 0;

	if (got <= 0)
		return static_cast<int>(got);
	if (const int error = call_ioctl(node_.get(), KVMCHAN_IOC_LAST_RECORD, &whole))
		return error;
	length = whole;
	return 1;
}

ssize_t guest_channel::read(std::span<std::byte> to) noexcept
{
	if (!taken(direction::rx))
		return read_node(to);
	if (const int error = map_rx())
		return error;
	if (to.empty())
		return 0;
	if (!packet())
		return ring_read(to);
	std::size_t length = 0;
	const int got = ring_recv(to, length);

	return got <= 0 ? got : static_cast<ssize_t>(std::min(length, to.size()));
}

ssize_t guest_channel::write(std::span<const std::byte> from) noexcept
{
	if (!taken(direction::tx))
		return write_node(from);
	if (const int error = map_tx())
		return error;
	return from.empty() ? 0 : ring_write(from);
}

int guest_channel::recv(std::span<std::byte> to, std::size_t &length) noexcept
{
	length = 0;
	if (!packet())
		return -ENOTSUP;
	if (to.empty())
		return -EINVAL;
	if (!taken(direction::rx))
		return recv_node(to, length);
	if (const int error = map_rx())
		return error;
	return ring_recv(to, length);
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

ssize_t guest_channel::send_many(std::span<const iovec> records) noexcept
{
	if (!packet())
		return -ENOTSUP;
	if (const int error = map_tx())
		return error;
	return ring_send_many(records);
}

ssize_t guest_channel::recv_many(std::span<iovec> records) noexcept
{
	if (!packet())
		return -ENOTSUP;
	if (records.empty())
		return -EINVAL;
	if (const int error = map_rx())
		return error;
	return ring_recv_many(records);
}

int guest_channel::wait_reserve(std::size_t least, std::span<std::byte> &window) noexcept
{
	const int error = map_tx();

	return error ? error : ring_reserve(least, window);
}

int guest_channel::wait_peek(std::size_t least, std::span<const std::byte> &window) noexcept
{
	const int error = map_rx();

	return error ? error : ring_peek(least, window);
}

/* The driver gives up a ring even where mapping it fails: that is tried again. */
int guest_channel::take(direction which, std::uint64_t size) noexcept
{
	const std::lock_guard lock{take_mutex_};
	const int error = link_.take(which, size);

	if (error != -EACCES && error != -ENOTTY)
		taken_[static_cast<unsigned>(which)].store(true, std::memory_order_relaxed);
	return error;
}

int guest_channel::map_rx() noexcept
{
	kvmchan_lowat marks{1, 1};

	if (rx_)
		return 0;
	if (const int error = take(direction::rx, rx_size_))
		return error;
	if (!packet())
		lowat(marks);
	if (const int error = link_.begin(reader_.ring()))
		return error;
	const std::span<const std::byte> view = link_.view(direction::rx);

	reader_.start(link_, view.first(rx_size_), packet());
	reader_.show(view);
	reader_.set_lowat(marks.rx);
	rx_ = &reader_;
	return 0;
}

int guest_channel::map_tx() noexcept
{
	kvmchan_lowat marks{1, tx_size_ / 2};

	if (tx_)
		return 0;
	if (const int error = take(direction::tx, tx_size_))
		return error;
	if (!packet())
		lowat(marks);
	if (const int error = link_.begin(writer_.ring()))
		return error;
	const std::span<std::byte> view = link_.view(direction::tx);

	writer_.start(link_, view.first(tx_size_), packet());
	writer_.show(view);
	writer_.set_lowat(marks.tx);
	tx_ = &writer_;
	return 0;
}

/* What poll() of the node goes by, of the rings that are taken. */
int guest_channel::ask_for(event_mask interest) noexcept
{
	const bool reads = (interest & event_readable) && taken(direction::rx);
	const bool writes = (interest & event_writable) && taken(direction::tx);

	return reads || writes ? link_.ask(reads ? reader_.wanted() : 0, writes ? writer_.wanted() : 0) : 0;
}

int guest_channel::wait(event_mask interest, nanoseconds timeout) noexcept
{
	const bool limited = timeout.count() >= 0;
	const auto now = clock::now();
	const auto deadline = timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
	const int wanted = (interest & event_readable ? POLLIN | POLLRDHUP : 0) | (interest & event_writable ? POLLOUT : 0);

	if (interest == event_readable && rx_)
		spin_for(reader_.wanted(), timeout);
	for (;;) {
		/* An error is found by whoever reads or writes. */
		if (ask_for(interest) < 0)
			return static_cast<int>(interest | event_hangup);
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
	const int error = call_ioctl(node_.get(), KVMCHAN_IOC_INFO, &out);

	if (!error && link_.error() == EPROTO)
		out.state = KVMCHAN_STATE_BROKEN;
	return error;
}

int guest_channel::shutdown(int how) noexcept
{
	/* First: whoever is woken by it shall see it. */
	link_.add_flags((how == SHUT_RD || how == SHUT_RDWR ? KVMCHAN_LINK_NO_READER : 0) |
	                (how == SHUT_WR || how == SHUT_RDWR ? KVMCHAN_LINK_NO_WRITER : 0));
	return call_ioctl(node_.get(), KVMCHAN_IOC_SHUTDOWN, static_cast<unsigned long>(how));
}

int guest_channel::reconnect() noexcept
{
	if (const int error = call_ioctl(node_.get(), KVMCHAN_IOC_RECONNECT, 0UL))
		return error;
	link_.reopened();
	if (rx_) {
		if (const int error = link_.begin(reader_.ring()))
			return error;
		reader_.reset();
	}
	if (tx_) {
		if (const int error = link_.begin(writer_.ring()))
			return error;
		writer_.reset();
	}
	return 0;
}

int guest_channel::lowat(kvmchan_lowat &out) noexcept
{
	return packet() ? -ENOTSUP : call_ioctl(node_.get(), KVMCHAN_IOC_GET_LOWAT, &out);
}

int guest_channel::set_lowat(const kvmchan_lowat &marks) noexcept
{
	if (packet())
		return -ENOTSUP;
	if (const int error = call_ioctl(node_.get(), KVMCHAN_IOC_SET_LOWAT, &marks))
		return error;
	reader_.set_lowat(marks.rx);
	writer_.set_lowat(marks.tx);
	return 0;
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
	/* What the driver cannot see: it sees bytes, and rings itself. */
	const direction_counters &rx = reader_.counters(), &tx = writer_.counters();

	out.rx_records += value(rx.records);
	out.tx_records += value(tx.records);
	out.doorbells_suppressed += value(rx.doorbells_suppressed) + value(tx.doorbells_suppressed);
	out.ring_full += value(tx.ring_full);
	out.protocol_errors += value(link_.counters().protocol_errors);
	return 0;
}

} // namespace kvmchan::detail
