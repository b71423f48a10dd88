// SPDX-License-Identifier: MIT
// The C API's channels.
#include <algorithm>
#include <chrono>
#include <cstdint>

#include "c_objects.hpp"

using namespace kvmchan::detail;

namespace {

constexpr unsigned known_flags =
	KVMCHAN_NONBLOCK | KVMCHAN_READ_ONLY | KVMCHAN_WRITE_ONLY | KVMCHAN_SIDE | KVMCHAN_GUARD;

bool read_options(const kvmchan_channel_options *from, channel_options &to) noexcept
{
	kvmchan_channel_options given{};

	if (!take_options(from, given) || (given.flags & ~known_flags))
		return false;
	to.nonblocking = given.flags & KVMCHAN_NONBLOCK;
	to.read = !(given.flags & KVMCHAN_WRITE_ONLY);
	to.write = !(given.flags & KVMCHAN_READ_ONLY);
	to.side = given.flags & KVMCHAN_SIDE ? static_cast<int>(std::min(given.side, 2U)) : -1;
	to.guard = given.flags & KVMCHAN_GUARD;
	to.rx_lowat = given.lowat.rx;
	to.tx_lowat = given.lowat.tx;
	if (given.busy_poll_ns)
		to.busy_poll = std::chrono::nanoseconds{given.busy_poll_ns};
	return true;
}

template <typename Open>
int open_channel(const kvmchan_channel_options *options, kvmchan_channel **out, Open open) noexcept
{
	channel_options wanted;

	if (!out)
		return refuse("channel: nowhere to put it");
	*out = nullptr;
	if (!read_options(options, wanted))
		return refuse("channel: bad options");
	return guarded([&] {
		auto made = std::make_unique<kvmchan_channel>();

		made->it = open(wanted);
		*out = made.release();
		return 0;
	});
}

std::span<std::byte> bytes(void *at, std::size_t size) noexcept
{
	return {static_cast<std::byte *>(at), size};
}

std::span<const std::byte> bytes(const void *at, std::size_t size) noexcept
{
	return {static_cast<const std::byte *>(at), size};
}

} // namespace

int kvmchan_channel_open(const char *device, const kvmchan_channel_options *options, kvmchan_channel **out)
{
	if (!device)
		return refuse("channel: no device");
	return open_channel(options, out,
	                    [&](const channel_options &wanted) { return channel_end::open_device(device, wanted); });
}

int kvmchan_channel_connect(kvmchan_region *region, const char *name, const kvmchan_channel_options *options,
                            kvmchan_channel **out)
{
	if (!region || !name)
		return refuse("channel: no region or no name");
	return open_channel(options, out,
	                    [&](const channel_options &wanted) { return channel_end::open_host(region->it, name, wanted); });
}

void kvmchan_channel_close(kvmchan_channel *channel)
{
	delete channel;
}

ssize_t kvmchan_channel_read(kvmchan_channel *channel, void *to, size_t size)
{
	return channel->it->read(bytes(to, size));
}

ssize_t kvmchan_channel_write(kvmchan_channel *channel, const void *from, size_t size)
{
	return channel->it->write(bytes(from, size));
}

int kvmchan_channel_write_all(kvmchan_channel *channel, const void *from, size_t size)
{
	auto rest = bytes(from, size);

	while (!rest.empty()) {
		const ssize_t done = channel->it->write(rest);

		if (done == -EAGAIN) {
			const int found = channel->it->wait(event_writable, no_limit);

			if (found < 0)
				return found;
		} else if (done < 0) {
			return static_cast<int>(done);
		} else {
			rest = rest.subspan(static_cast<std::size_t>(done));
		}
	}
	return 0;
}

int kvmchan_channel_send(kvmchan_channel *channel, const void *record, size_t size)
{
	return channel->it->send(bytes(record, size));
}

int kvmchan_channel_recv(kvmchan_channel *channel, void *to, size_t size, size_t *length)
{
	std::size_t whole = 0;
	const int result = channel->it->recv(bytes(to, size), whole);

	if (length)
		*length = whole;
	return result;
}

ssize_t kvmchan_channel_send_many(kvmchan_channel *channel, const iovec *records, size_t count)
{
	return channel->it->send_many({records, count});
}

ssize_t kvmchan_channel_recv_many(kvmchan_channel *channel, iovec *records, size_t count)
{
	return channel->it->recv_many({records, count});
}

int kvmchan_channel_reserve(kvmchan_channel *channel, size_t least, void **data, size_t *size)
{
	std::span<std::byte> window;
	const int error = channel->it->reserve(least, window);

	*data = window.data();
	*size = window.size();
	return error;
}

int kvmchan_channel_commit(kvmchan_channel *channel, size_t size)
{
	return channel->it->commit(size);
}

int kvmchan_channel_peek(kvmchan_channel *channel, size_t least, const void **data, size_t *size)
{
	std::span<const std::byte> window;
	const int found = channel->it->peek(least, window);

	*data = window.data();
	*size = window.size();
	return found;
}

int kvmchan_channel_consume(kvmchan_channel *channel, size_t size)
{
	return channel->it->consume(size);
}

int kvmchan_channel_wait(kvmchan_channel *channel, unsigned int events, int64_t timeout_ns)
{
	if (events & ~(event_readable | event_writable | event_hangup))
		return -EINVAL;
	return channel->it->wait(events, std::chrono::nanoseconds{timeout_ns});
}

int kvmchan_channel_handle(kvmchan_channel *channel)
{
	return channel->it->native_handle();
}

int kvmchan_channel_device_handle(kvmchan_channel *channel)
{
	return channel->it->device_handle();
}

int kvmchan_channel_set_nonblocking(kvmchan_channel *channel, int on)
{
	return channel->it->set_nonblocking(on != 0);
}

int kvmchan_channel_is_nonblocking(kvmchan_channel *channel)
{
	return channel->it->nonblocking();
}

int kvmchan_channel_info(kvmchan_channel *channel, kvmchan_info *out)
{
	return channel->it->info(*out);
}

int kvmchan_channel_state(kvmchan_channel *channel)
{
	kvmchan_info what{};
	const int error = channel->it->info(what);

	return error ? error : static_cast<int>(what.state);
}

ssize_t kvmchan_channel_data_ready(kvmchan_channel *channel)
{
	kvmchan_info what{};
	const int error = channel->it->info(what);

	return error ? error : static_cast<ssize_t>(what.rx_ready);
}

ssize_t kvmchan_channel_buffer_space(kvmchan_channel *channel)
{
	kvmchan_info what{};
	const int error = channel->it->info(what);

	return error ? error : static_cast<ssize_t>(what.tx_space);
}

int kvmchan_channel_shutdown(kvmchan_channel *channel, int how)
{
	return channel->it->shutdown(how);
}

int kvmchan_channel_reconnect(kvmchan_channel *channel)
{
	return channel->it->reconnect();
}

int kvmchan_channel_lowat(kvmchan_channel *channel, kvmchan_lowat *out)
{
	return channel->it->lowat(*out);
}

int kvmchan_channel_set_lowat(kvmchan_channel *channel, const kvmchan_lowat *marks)
{
	return channel->it->set_lowat(*marks);
}

int kvmchan_channel_counters(kvmchan_channel *channel, kvmchan_counters *out)
{
	channel_counters now;
	const int error = channel->it->counters(now);

	if (error)
		return error;
	kvmchan_counters all{sizeof(all),         now.rx_bytes,       now.tx_bytes,
	                     now.rx_records,      now.tx_records,     now.doorbells_sent,
	                     now.doorbells_suppressed, now.interrupts, now.empty_interrupts,
	                     now.ring_full,       now.protocol_errors};

	return give_struct(all, out) ? 0 : -EINVAL;
}
