// SPDX-License-Identifier: MIT
#include "ivshmem_outbox.hpp"

namespace kvmchan::ivshmem {

outbox::result outbox::flush(int socket, std::error_code &ec) noexcept
{
	ec.clear();
	while (!queue_.empty()) {
		const message &head = queue_.front();
		const int fd = head.fd ? head.fd->get() : -1;
		const std::size_t sent = send_part(socket, head.bytes, head_sent_, fd, ec);

		if (ec == std::errc::operation_would_block || ec == std::errc::resource_unavailable_try_again) {
			ec.clear();
			return result::would_block;
		}
		/* ENOBUFS and ENOMEM pass as well: the kernel is out of room now. */
		if (ec.value() == ETOOMANYREFS || ec == std::errc::no_buffer_space ||
		    ec == std::errc::not_enough_memory) {
			ec.clear();
			return result::retry_later;
		}
		if (ec)
			return result::failed;
		bytes_sent_ += sent;
		head_sent_ += sent;
		if (head_sent_ == message_size) {
			queue_.pop_front();
			head_sent_ = 0;
		}
	}
	return result::drained;
}

} // namespace kvmchan::ivshmem
