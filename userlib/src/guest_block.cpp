// SPDX-License-Identifier: MIT
// A memory block in a guest: a mapping of the device node.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block_end.hpp"
#include "failure.hpp"
#include "guest_node.hpp"
#include "memory.hpp"

namespace kvmchan::detail {
namespace {

using clock = std::chrono::steady_clock;

class guest_block final : public block_end {
public:
	explicit guest_block(const std::string &path) : node_{::open(path.c_str(), O_RDWR | O_CLOEXEC)}
	{
		kvmchan_info what{};
		std::error_code ec;

		if (!node_)
			fail(errno, path);
		if (const int error = call_ioctl(node_.get(), KVMCHAN_IOC_INFO, &what))
			fail(-error, path + (error == -ENOTTY ? " is no kvmchan node" : ""));
		if (what.kind != 2)
			fail(EINVAL, path + " is a channel, not a memory block");
		mapping_ = mapping{node_.get(), static_cast<std::size_t>(what.rx_size), ec};
		if (ec)
			throw std::system_error{ec, path + ": mapping"};
	}

	std::span<std::byte> bytes() const noexcept override { return mapping_.bytes(); }
	int signal() noexcept override { return call_ioctl(node_.get(), KVMCHAN_IOC_SIGNAL, 0UL); }

	int count(std::uint64_t &out) noexcept override
	{
		/* A count that is not out's, to be told out's at once. */
		kvmchan_wait request{~out, 0};
		const int error = call_ioctl(node_.get(), KVMCHAN_IOC_WAIT, &request);

		if (error && error != -ETIMEDOUT)
			return error;
		out = error ? ~out : request.count;
		return 0;
	}

	int wait(std::uint64_t &count, std::chrono::nanoseconds timeout) noexcept override
	{
		const auto now = clock::now();
		const auto deadline = timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;

		for (;;) {
			const std::chrono::nanoseconds left = deadline - clock::now();
			kvmchan_wait request{count, timeout.count() < 0 ? -1 : std::max<std::int64_t>(left.count(), 0)};

			if (::ioctl(node_.get(), KVMCHAN_IOC_WAIT, &request) == 0) {
				count = request.count;
				return 0;
			}
			if (errno != EINTR)
				return -errno;
		}
	}

private:
	unique_fd node_;
	mapping mapping_;
};

} // namespace

std::unique_ptr<block_end> block_end::open_device(const std::string &device)
{
	return std::make_unique<guest_block>(node_path(device));
}

} // namespace kvmchan::detail
