// SPDX-License-Identifier: MIT
#include "notify.hpp"

#include <cstdint>
#include <ctime>

#include <systemd/sd-daemon.h>

namespace kvmchan {

void notify_ready(const std::string &status) noexcept
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status.c_str());
}

void notify_reloading() noexcept
{
	timespec now{};

	/* Type=notify-reload pairs the answer with the request by this clock. */
	::clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
	           static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000);
}

void notify_stopping() noexcept
{
	sd_notify(0, "STOPPING=1");
}

} // namespace kvmchan
