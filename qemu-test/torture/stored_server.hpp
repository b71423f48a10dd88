// SPDX-License-Identifier: MIT
#pragma once

#include "guest_options.hpp"
#include "temp_dir.hpp"

#include "server_successor.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace torture {

/**
 * `kvmchan serve` as systemd would run it: what it stores outlives it, so that
 * it can be killed, or run its program again, while all are connected.
 */
class stored_server {
public:
	/** Words for the command line beside those for one region and a VM `guest`. */
	explicit stored_server(const std::vector<std::string> &words);

	const std::filesystem::path &socket() const { return socket_; }
	harness::ivshmem_doorbell guest_device(std::string id, std::string bus = "") const;

	/** kill -9. When it has told everybody everything, which follow() needs. */
	void kill9();
	/** Another one, with what was stored. */
	void follow();
	/** Runs its program again. */
	void restart();

	nlohmann::json status() const;
	/** Peers that are connected. */
	std::size_t peers() const;
	std::size_t descriptors() const { return process_.descriptors(); }
	/** Resident memory, KiB. */
	std::size_t memory() const;

private:
	std::size_t times_followed() const;
	void wait_followed(std::size_t before);
	void wait_served();

	harness::temp_dir dir_{"torture"};
	std::filesystem::path socket_ = dir_ / "socket";
	kvmchan::testing::fake_store store_{dir_ / "notify"};
	kvmchan::testing::successor process_;
};

} // namespace torture
