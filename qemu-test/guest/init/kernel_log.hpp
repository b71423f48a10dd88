// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <optional>
#include <string>

namespace guest_init {

/** Reads /dev/kmsg, record by record. */
class kernel_log {
public:
	kernel_log();
	int fd() const noexcept { return fd_.get(); }
	/** The next record as dmesg prints it, or nullopt if there is none now. */
	std::optional<std::string> next();

private:
	kvmchan::unique_fd fd_;
};

} // namespace guest_init
