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
	/**
	 * Two cards on one wire between two guests: a socket between the QEMUs, or
	 * a bridge of two tap devices. The first one's guest listens.
	 */
	static std::vector<network> socket_pair();
	static std::optional<std::vector<network>> tap_pair(std::string &why);
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
	/** Where the guest shall connect to, or listen. */
	std::string address() const;
	const kvmchan::unique_fd &listener() const { return listener_; }

private:
	network(std::string path, std::string netdev, unsigned number);
	static bool make_tap(network &card, const std::string &name, std::string &why);

	std::string path_;
	std::string netdev_;
	std::string mac_;
	std::string guest_ip_;
	std::string host_ip_; ///< who listens, as the guest sees it
	std::vector<std::string> links_; ///< of the host, which go with this object
	unsigned port_;
	kvmchan::unique_fd listener_;
};

} // namespace bench
