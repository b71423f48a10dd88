// SPDX-License-Identifier: MIT
// Sends back what comes, on any number of channels of a region, in one Asio
// loop:
//
//	echo /run/kvmchan.sock NAME...
//
// It shows the contract of native_handle(): do all that can be done, and only
// then wait for it.
#include <array>
#include <cstdio>
#include <list>
#include <span>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>

#include <kvmchan/channel.hpp>

namespace {

class echo {
public:
	echo(asio::io_context &io, const kvmchan::region &where, const std::string &name)
		: channel_{where, name, {.non_blocking = true}}, ready_{io, channel_.native_handle()}
	{
		run();
	}
	echo(const echo &) = delete;
	echo &operator=(const echo &) = delete;
	/* The descriptor is the channel's. */
	~echo() { ready_.release(); }

private:
	void run()
	{
		std::error_code ec;

		while (!ec)
			step(ec);
		if (ec != std::errc::operation_would_block) {
			std::fprintf(stderr, "%s: %s\n", channel_.name().c_str(), ec.message().c_str());
			return;
		}
		ready_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code &error) {
			if (!error)
				run();
		});
	}

	/* One call: write what is pending, else read; begin anew at the end. */
	void step(std::error_code &ec)
	{
		if (!pending_.empty()) {
			pending_ = pending_.subspan(channel_.write_some(pending_, ec));
			if (ec != std::errc::broken_pipe)
				return;
			pending_ = {};
			channel_.reconnect(ec);
			return;
		}
		const std::size_t n = channel_.read_some(buffer_, ec);

		if (ec)
			return;
		pending_ = std::span{buffer_}.first(n);
		if (n == 0)
			channel_.reconnect(ec);
	}

	kvmchan::channel channel_;
	asio::posix::stream_descriptor ready_;
	std::array<std::byte, 65536> buffer_;
	std::span<const std::byte> pending_;
};

} // namespace

int main(int argc, char **argv)
try {
	asio::io_context io;
	asio::signal_set signals{io, SIGINT, SIGTERM};
	std::list<echo> echoes;

	if (argc < 3) {
		std::fprintf(stderr, "usage: echo SOCKET NAME...\n");
		return 2;
	}
	const auto region = kvmchan::region::attach(argv[1]);

	for (int i = 2; i < argc; ++i)
		echoes.emplace_back(io, region, argv[i]);
	signals.async_wait([&](const std::error_code &, int) { io.stop(); });
	io.run();
	return 0;
} catch (const std::exception &error) {
	std::fprintf(stderr, "echo: %s\n", error.what());
	return 1;
}
