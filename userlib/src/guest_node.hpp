// SPDX-License-Identifier: MIT
// What all device nodes of the module have in common.
#ifndef KVMCHAN_GUEST_NODE_HPP
#define KVMCHAN_GUEST_NODE_HPP

#include <cerrno>
#include <string>

#include <sys/ioctl.h>

#include "uapi/kvmchan.h"

namespace kvmchan::detail {

/** A word is a name below /dev/kvmchan/by-name; anything else is a path. */
inline std::string node_path(const std::string &device)
{
	return device.find('/') == std::string::npos ? "/dev/kvmchan/by-name/" + device : device;
}

/** ioctl() again after a signal; 0 or more, or a negated errno value. */
inline int call_ioctl(int fd, unsigned long request, auto argument) noexcept
{
	int result;

	do
		result = ::ioctl(fd, request, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

} // namespace kvmchan::detail

#endif
