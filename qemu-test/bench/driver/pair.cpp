// SPDX-License-Identifier: MIT
#include "pair.hpp"

#include "block_ends.hpp"
#include "guest_setup.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bench {

namespace {

constexpr std::array names{"a", "b"};

harness::region_server::setup channels()
{
	harness::region_server::setup out{.size = "16M", .vectors = 4};
	const auto slot = [&](const char *kind, const char *name, std::size_t size, const char *sides) {
		out.toml += fmt::format("[[region.{}]]\nname = \"{}\"\nsize = {}\nsides = [{}]\n", kind, name, size, sides);
	};
	const char *between = "\"a\", \"b\"";
	slot("memory_block", "control", 64 << 10, "\"host\", \"any\"");
	slot("memory_block", "ring", ring_end::block_size, between);
	slot("channel", "stream", 1 << 20, between);
	slot("channel", "mapped", 1 << 20, between);
	// By themselves, because a table may follow each of them.
	for (const char *name : names)
		out.toml += fmt::format("[[region.vm]]\nname = \"{}\"\n", name);
	return out;
}

} // namespace

guest_pair::guest_pair(unsigned cpus) : server_{channels()}
{
	networks_.push_back(network::socket_pair());
	std::string why;
	if (auto bridged = network::tap_pair(why))
		networks_.push_back(std::move(*bridged));
	else
		skipped_.emplace_back("tcp-tap", "between guests: " + why);
	for (std::size_t i = 0; i < guests; ++i) {
		harness::guest_options options{.devices = {server_.device("channels", names[i])}, .cpus = cpus};
		for (const auto &cards : networks_) {
			const auto words = cards[i].qemu_args();
			options.qemu_args.insert(options.qemu_args.end(), words.begin(), words.end());
		}
		vms_[i].emplace(std::move(options));
		load_modules(*vms_[i]);
		for (const auto &cards : networks_)
			cards[i].configure(*vms_[i]);
		link_names(*vms_[i]);
	}
	region_.emplace(kvmchan::region::attach(server_.socket()));
	words_.emplace(*region_, "control");
	for (std::size_t i = 0; i < guests; ++i)
		agents_[i] = std::make_unique<bench::agent>(*vms_[i], "control");
}

bool guest_pair::has(const std::string &path) const
{
	return !path.starts_with("tcp") ||
	       std::ranges::any_of(networks_, [&](const auto &cards) { return cards[0].path() == path; });
}

std::string guest_pair::where(const std::string &path, const std::string &slot, std::size_t guest) const
{
	for (const auto &cards : networks_) {
		if (cards[guest].path() == path)
			return (guest == 0 ? "listen:" : "") + cards[guest].address();
	}
	return path == "raw-ring" ? fmt::format("{}@{}", slot, guest) : slot;
}

void guest_pair::finish()
{
	words_.reset();
	for (std::size_t i = 0; i < guests; ++i) {
		agents_[i].reset();
		unlink_names(*vms_[i]);
		vms_[i]->shutdown();
	}
}

void guest_pair::abandon()
{
	for (auto &vm : vms_)
		vm->kill9();
	networks_.clear();
	server_.process().kill9();
}

} // namespace bench
