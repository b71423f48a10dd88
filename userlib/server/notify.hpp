// SPDX-License-Identifier: MIT
// What systemd is told; nothing happens when it did not start us.
#ifndef KVMCHAN_SERVER_NOTIFY_HPP
#define KVMCHAN_SERVER_NOTIFY_HPP

#include <string>

namespace kvmchan {

/** Sockets are there and are served; @p status is shown by systemctl. */
void notify_ready(const std::string &status) noexcept;
void notify_reloading() noexcept;
void notify_stopping() noexcept;

} // namespace kvmchan

#endif
