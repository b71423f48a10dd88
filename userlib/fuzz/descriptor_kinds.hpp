// SPDX-License-Identifier: MIT
// Descriptors of all kinds, as a peer may pass them.
#ifndef KVMCHAN_FUZZ_DESCRIPTOR_KINDS_HPP
#define KVMCHAN_FUZZ_DESCRIPTOR_KINDS_HPP

#include <array>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "require.hpp"
#include "unique_fd.hpp"

namespace kvmchan::fuzz {

/** The kinds; the first two are what belongs into the protocol. */
class descriptor_kinds {
public:
	static constexpr unsigned eventfd = 0, memory = 1, count = 8;
	static constexpr off_t memory_size = 64 * 1024;

	descriptor_kinds()
	{
		int ends[2];

		fds_[eventfd].reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
		fds_[memory].reset(::memfd_create("kvmchan-fuzz", MFD_CLOEXEC));
		require(::ftruncate(fds_[memory].get(), memory_size) == 0, "memory is made");
		fds_[2].reset(::memfd_create("kvmchan-fuzz-empty", MFD_CLOEXEC));
		fds_[3].reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
		fds_[4].reset(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
		fds_[5].reset(::open("/", O_PATH | O_CLOEXEC));
		require(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0, "a pipe is made");
		fds_[6].reset(ends[0]);
		::close(ends[1]);
		fds_[7].reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		for (const unique_fd &each : fds_)
			require(static_cast<bool>(each), "a descriptor is made");
	}

	int operator[](unsigned kind) const noexcept { return fds_[kind % count].get(); }

private:
	std::array<unique_fd, count> fds_;
};

} // namespace kvmchan::fuzz

#endif
