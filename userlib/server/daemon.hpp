// SPDX-License-Identifier: MIT
// Running in the background, and the file that says so.
#ifndef KVMCHAN_SERVER_DAEMON_HPP
#define KVMCHAN_SERVER_DAEMON_HPP

#include <filesystem>

#include "unique_fd.hpp"

namespace kvmchan {

/**
 * Goes on in a child process, while the caller's process waits until the child
 * says how it went: it exits with 0 after ready(), so that a script finds the
 * sockets there when the command returns, and with 1 if the child ends before.
 * Until then the child keeps the terminal for its messages.
 */
class background {
public:
	/** Forks. Returns in the child only. Throws std::system_error. */
	static background enter();

	/** Lets the parent go and lets go of stdin, stdout and stderr. */
	void ready() noexcept;

private:
	explicit background(unique_fd parent) noexcept : parent_{std::move(parent)} {}

	unique_fd parent_;
};

/** A file with our process ID; removed with the object. Move-only. */
class pid_file {
public:
	/**
	 * Writes the file under a lock. Throws std::system_error: device_or_
	 * resource_busy when a live process has it.
	 */
	explicit pid_file(std::filesystem::path path);
	pid_file(pid_file &&other) noexcept = default;
	pid_file &operator=(pid_file &&other) noexcept = default;
	~pid_file();

private:
	std::filesystem::path path_;
	unique_fd fd_;
};

/** As many descriptors as we may have: each peer costs one a vector. */
void raise_descriptor_limit() noexcept;

} // namespace kvmchan

#endif
