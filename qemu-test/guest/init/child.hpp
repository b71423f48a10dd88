// SPDX-License-Identifier: MIT
#pragma once

#include "unique_fd.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace guest_init {

struct child_options {
	std::vector<std::string> argv;
	std::map<std::string, std::string> env;
};

/**
 * A command with pipes on its three standard streams. It leads its own
 * session and process group.
 */
class child {
public:
	/** Throws std::system_error if it cannot be executed. */
	child(std::uint32_t id, const child_options &options);

	std::uint32_t id() const noexcept { return id_; }
	pid_t pid() const noexcept { return pid_; }

	int input_fd() const noexcept { return in_.get(); }
	int output_fd() const noexcept { return out_.get(); }
	int error_fd() const noexcept { return err_.get(); }

	bool wants_input() const noexcept { return in_ && (!pending_.empty() || input_ended_); }
	void queue_input(std::string_view bytes); ///< empty: the end
	/** Writes what fits; returns how many bytes left the queue. */
	std::size_t feed();

	/** Reads once; nullopt if nothing is there now. The end closes the fd. */
	std::optional<std::string> read_output() { return read_once(out_); }
	std::optional<std::string> read_error() { return read_once(err_); }

	void signal(int number) const;

	std::optional<int> status; ///< wait status, once it was reaped

private:
	static std::optional<std::string> read_once(kvmchan::unique_fd &fd);

	std::uint32_t id_;
	pid_t pid_ = -1;
	kvmchan::unique_fd in_, out_, err_;
	std::string pending_;
	bool input_ended_ = false;
};

} // namespace guest_init
