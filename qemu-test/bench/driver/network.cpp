// SPDX-License-Identifier: MIT
#include "network.hpp"

#include "host_process.hpp"
#include "sockets.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include <unistd.h>

namespace bench {

network network::user()
{
	network out;
	out.path_ = "tcp-user";
	out.netdev_ = "user,restrict=off";
	out.mac_ = "52:54:00:be:00:01";
	out.guest_ip_ = "10.0.2.15";
	out.host_ip_ = "10.0.2.2";
	out.listener_ = listen_tcp("127.0.0.1");
	return out;
}

std::optional<network> network::tap(std::string &why)
{
	// Out of the range that RFC 2544 keeps for benchmarks.
	const auto net = fmt::format("198.18.{}", getpid() % 250);
	network out;
	out.path_ = "tcp-tap";
	out.mac_ = "52:54:00:be:00:02";
	out.guest_ip_ = net + ".2";
	out.host_ip_ = net + ".1";
	const auto name = fmt::format("kvmb{}", getpid());
	for (const auto &words : {std::vector<std::string>{"ip", "tuntap", "add", "dev", name, "mode", "tap"},
	                          {"ip", "address", "add", out.host_ip_ + "/24", "dev", name},
	                          {"ip", "link", "set", name, "up"}}) {
		const auto made = harness::run_host(words);
		if (!made) {
			why = fmt::format("{}: {}", fmt::join(words, " "), made.err.substr(0, made.err.find('\n')));
			return std::nullopt;
		}
		out.tap_ = name;
	}
	out.netdev_ = fmt::format("tap,ifname={},script=no,downscript=no", name);
	out.listener_ = listen_tcp(out.host_ip_);
	return out;
}

network::network(network &&other) noexcept
    : path_{std::move(other.path_)}, netdev_{std::move(other.netdev_)}, mac_{std::move(other.mac_)},
      guest_ip_{std::move(other.guest_ip_)}, host_ip_{std::move(other.host_ip_)},
      tap_{std::exchange(other.tap_, {})}, listener_{std::move(other.listener_)}
{
}

network::~network()
{
	if (tap_.empty())
		return;
	try {
		harness::run_host({"ip", "link", "delete", tap_});
	} catch (const std::exception &) {
		// It stays behind; there is nobody to tell.
		return;
	}
}

std::vector<std::string> network::qemu_args() const
{
	return {"-netdev", fmt::format("{},id={}", netdev_.substr(0, netdev_.find(',')), path_) + netdev_.substr(netdev_.find(',')),
	        "-device", fmt::format("virtio-net-pci,netdev={},mac={},romfile=", path_, mac_)};
}

void network::configure(harness::guest &machine) const
{
	machine.check(fmt::format("for card in /sys/class/net/*; do\n"
	                          "	if [ $(cat $card/address) = {} ]; then\n"
	                          "		ifconfig ${{card##*/}} {} netmask 255.255.255.0 up && exit\n"
	                          "	fi\n"
	                          "done\n"
	                          "echo no such card >&2\n"
	                          "exit 1\n",
	                          mac_, guest_ip_));
}

std::string network::address() const
{
	return fmt::format("{}:{}", host_ip_, port_of(listener_));
}

} // namespace bench
