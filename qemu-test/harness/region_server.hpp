// SPDX-License-Identifier: MIT
#pragma once

#include "guest_options.hpp"
#include "host_process.hpp"
#include "temp_dir.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/** The `kvmchan` tool of this build. */
std::filesystem::path kvmchan_tool();

/** `kvmchan serve` as a child of the test, with its socket in a directory of its own. */
class region_server {
public:
	struct setup {
		std::string size = "1M";
		unsigned vectors = 2;
		/// More words for the command line, say {"--channel", "a:stream"}.
		std::vector<std::string> args{};
		/// Or more lines for the region in a kvmchan.toml: what has no option.
		std::string toml{};
	};

	/** Returns when the server says that it is ready (sd_notify). */
	region_server() : region_server(setup{}) {}
	explicit region_server(setup options);

	const std::filesystem::path &socket() const noexcept { return socket_; }
	/** A path in the server's directory, for the socket of a `--vm` or the like. */
	std::filesystem::path path(std::string_view name) const { return dir_ / name; }
	host_process &process() noexcept { return *process_; }

	/**
	 * A device for a guest, with as many vectors as the server gives, at the
	 * socket of @p vm (of a `--vm` word), or at that for the host's processes.
	 */
	ivshmem_doorbell device(std::string id, std::string_view vm = {}) const;

	/** Starts it again at the same place, after it ended. */
	void start();
	/** SIGTERM, and waits; throws if it does not exit with status 0. */
	void stop();

private:
	std::vector<std::string> words() const;

	temp_dir dir_{"serve"};
	setup options_;
	std::filesystem::path socket_;
	std::optional<host_process> process_;
};

} // namespace harness
