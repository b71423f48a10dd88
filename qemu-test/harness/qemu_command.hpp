// SPDX-License-Identifier: MIT
#pragma once

#include "guest_options.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace harness {

/** What a guest needs on the host. */
struct machine_files {
	std::filesystem::path kernel;
	std::filesystem::path initramfs;
	std::filesystem::path share;
	std::filesystem::path console; ///< the file that the serial port writes
	int qmp_fd;
	int control_fd;
	std::string token;
};

/** @p incoming is the URI of a migration to wait for, or empty to boot. */
std::vector<std::string> qemu_command(const guest_options &options, const machine_files &files,
                                      const std::string &incoming);

/** The backend and device of a shared memory as QMP commands, in order. */
struct qmp_step {
	std::string execute;
	nlohmann::json arguments;
};
std::vector<qmp_step> plug_steps(const ivshmem &device);
/** What to undo after @p device is gone. */
std::vector<qmp_step> unplug_steps(const ivshmem &device);
const std::string &device_id(const ivshmem &device);

} // namespace harness
