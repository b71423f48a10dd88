// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"
#include "unique_fd.hpp"

#include <optional>
#include <string>
#include <vector>

namespace bench {

/** A network card, over which the guest connects to a port of the host. */
class network {
public:
	/** QEMU's user networking. */
	static network user();
	/** A tap device of the host; nothing, and @p why, if it cannot be made. */
	static std::optional<network> tap(std::string &why);

	~network();
	network(network &&other) noexcept;
	network(const network &) = delete;
	network &operator=(const network &) = delete;
	network &operator=(network &&) = delete;

	const std::string &path() const { return path_; }
	std::vector<std::string> qemu_args() const;
	void configure(harness::guest &machine) const;
	/** Where the guest shall connect to. */
	std::string address() const;
	const kvmchan::unique_fd &listener() const { return listener_; }

private:
	network() = default;

	std::string path_;
	std::string netdev_;
	std::string mac_;
	std::string guest_ip_;
	std::string host_ip_; ///< as the guest sees it
	std::string tap_;
	kvmchan::unique_fd listener_;
};

} // namespace bench
