// SPDX-License-Identifier: MIT
#include "network.hpp"

#include "host_process.hpp"
#include "sockets.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include <unistd.h>

namespace bench {

namespace {

/* Out of the range that RFC 2544 keeps for benchmarks. */
std::string benchmark_ip(unsigned host)
{
	return fmt::format("198.18.{}.{}", getpid() % 250, host);
}

std::string link_name(const char *kind, unsigned number)
{
	return fmt::format("kvmb{}{}{}", kind, getpid(), number);
}

bool ip_command(std::vector<std::string> words, std::string &why)
{
	words.insert(words.begin(), "ip");
	const auto done = harness::run_host(words);
	if (!done)
		why = fmt::format("{}: {}", fmt::join(words, " "), done.err.substr(0, done.err.find('\n')));
	return done.exit == 0;
}

/* For two guests: any port inside them, as nobody else is there. */
constexpr unsigned pair_port = 5001;

} // namespace

network::network(std::string path, std::string netdev, unsigned number)
    : path_{std::move(path)}, netdev_{std::move(netdev)}, mac_{fmt::format("52:54:00:be:{:02x}:{:02x}", path_.size(), number)},
      port_{pair_port}
{
}

network network::user()
{
	network out{"tcp-user", "user", 1};
	out.guest_ip_ = "10.0.2.15";
	out.host_ip_ = "10.0.2.2";
	out.listener_ = listen_tcp("127.0.0.1");
	out.port_ = port_of(out.listener_);
	return out;
}

bool network::make_tap(network &card, const std::string &name, std::string &why)
{
	if (!ip_command({"tuntap", "add", "dev", name, "mode", "tap"}, why))
		return false;
	card.links_.push_back(name);
	card.netdev_ = fmt::format("tap,ifname={},script=no,downscript=no", name);
	return ip_command({"link", "set", name, "up"}, why);
}

std::optional<network> network::tap(std::string &why)
{
	network out{"tcp-tap", {}, 1};
	const auto name = link_name("t", 0);
	out.guest_ip_ = benchmark_ip(2);
	out.host_ip_ = benchmark_ip(1);
	if (!make_tap(out, name, why) || !ip_command({"address", "add", out.host_ip_ + "/24", "dev", name}, why))
		return std::nullopt;
	out.listener_ = listen_tcp(out.host_ip_);
	out.port_ = port_of(out.listener_);
	return out;
}

std::vector<network> network::socket_pair()
{
	// QEMU cannot be given a listening socket here, only a free port.
	const auto port = port_of(listen_tcp("127.0.0.1"));
	std::vector<network> out;
	out.push_back({"tcp-socket", fmt::format("socket,listen=127.0.0.1:{}", port), 1});
	out.push_back({"tcp-socket", fmt::format("socket,connect=127.0.0.1:{}", port), 2});
	for (unsigned i = 0; i < 2; ++i) {
		out[i].guest_ip_ = fmt::format("192.168.77.{}", i + 1);
		out[i].host_ip_ = "192.168.77.1";
	}
	return out;
}

std::optional<std::vector<network>> network::tap_pair(std::string &why)
{
	const auto bridge = link_name("b", 0);
	std::vector<network> out;
	for (unsigned i = 0; i < 2; ++i) {
		out.push_back({"tcp-tap", {}, i + 1});
		out[i].guest_ip_ = benchmark_ip(i + 1);
		out[i].host_ip_ = benchmark_ip(1);
	}
	if (!ip_command({"link", "add", "name", bridge, "type", "bridge"}, why))
		return std::nullopt;
	out[0].links_.push_back(bridge);
	if (!ip_command({"link", "set", bridge, "up"}, why))
		return std::nullopt;
	for (unsigned i = 0; i < 2; ++i) {
		const auto name = link_name("t", i + 1);
		if (!make_tap(out[i], name, why) || !ip_command({"link", "set", name, "master", bridge}, why))
			return std::nullopt;
	}
	return out;
}

network::network(network &&other) noexcept
    : path_{std::move(other.path_)}, netdev_{std::move(other.netdev_)}, mac_{std::move(other.mac_)},
      guest_ip_{std::move(other.guest_ip_)}, host_ip_{std::move(other.host_ip_)},
      links_{std::exchange(other.links_, {})}, port_{other.port_}, listener_{std::move(other.listener_)}
{
}

network::~network()
{
	try {
		for (const auto &link : links_)
			harness::run_host({"ip", "link", "delete", link});
	} catch (const std::exception &) {
		// It stays behind; there is nobody to tell.
		return;
	}
}

std::vector<std::string> network::qemu_args() const
{
	return {"-netdev", fmt::format("{},id={}", netdev_, path_),
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
	return fmt::format("{}:{}", host_ip_, port_);
}

} // namespace bench
