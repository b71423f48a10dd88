// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <string>

namespace bench {

/* All of them throw std::system_error. TCP goes without Nagle's delay. */

/** @p address is IPV4:PORT. */
kvmchan::unique_fd connect_tcp(const std::string &address);
/** Listens at a free port of an IPv4 address. */
kvmchan::unique_fd listen_tcp(const std::string &ip);
/** To the host. */
kvmchan::unique_fd connect_vsock(unsigned port);
kvmchan::unique_fd listen_vsock();
unsigned port_of(const kvmchan::unique_fd &listener);
kvmchan::unique_fd accept_one(const kvmchan::unique_fd &listener);

} // namespace bench
