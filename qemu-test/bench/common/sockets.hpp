// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <string>

namespace bench {

/* All of them throw std::system_error. TCP goes without Nagle's delay. */

/** @p address is IPV4:PORT. Tries for a while, for who listens may not be there yet. */
kvmchan::unique_fd connect_tcp(const std::string &address);
/** Listens at a port of an IPv4 address; 0: any that is free. */
kvmchan::unique_fd listen_tcp(const std::string &ip, unsigned port = 0);
/** To the host. */
kvmchan::unique_fd connect_vsock(unsigned port);
kvmchan::unique_fd listen_vsock();
unsigned port_of(const kvmchan::unique_fd &listener);
kvmchan::unique_fd accept_one(const kvmchan::unique_fd &listener);

} // namespace bench
