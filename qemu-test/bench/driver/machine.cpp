// SPDX-License-Identifier: MIT
#include "machine.hpp"

#include "block_ends.hpp"
#include "boot_files.hpp"
#include "sockets.hpp"

#include <fmt/format.h>

#include <system_error>

#include <unistd.h>

namespace bench {

namespace {

/* Where the bare doorbell is on the guest's PCI bus. */
constexpr const char *bell_slot = "0x1e";
constexpr const char *bell_address = "0000:00:1e.0";

harness::region_server::setup channels()
{
	harness::region_server::setup out{.size = "64M", .vectors = 8, .toml = "slots = 512\n"};
	const auto channel = [&](const std::string &name, const char *mode, const char *size) {
		out.toml += fmt::format("[[region.channel]]\nname = \"{}\"\nmode = \"{}\"\nsize = \"{}\"\n", name, mode, size);
	};
	const auto block = [&](const char *name, std::size_t size) {
		out.toml += fmt::format("[[region.memory_block]]\nname = \"{}\"\nsize = {}\n", name, size);
	};
	block("control", 64 << 10);
	block("turns", 64 << 10);
	block("copies", 4 << 20);
	block("ring", ring_end::block_size);
	for (const char *name : {"stream", "nospin", "mapped"})
		channel(name, "stream", "1M");
	for (const char *name : {"packet", "mappedpacket"})
		channel(name, "packet", "1M");
	channel("stream4", "stream", "4M");
	channel("opened", "stream", "64K");
	for (std::size_t i = 0; i < machine::many; ++i)
		channel(fmt::format("many{}", i), "stream", "64K");
	return out;
}

} // namespace

machine::machine(unsigned cpus) : server_{channels()}, bells_{{.size = "1M", .vectors = 1}}
{
	make_networks();
	make_vsock();
	harness::guest_options options{.devices = {server_.device("channels")}, .cpus = cpus, .memory_mib = 512};
	auto &args = options.qemu_args;
	args = {"-chardev", fmt::format("socket,id=bell,path={}", bells_.socket().string()),
	        "-device", fmt::format("ivshmem-doorbell,chardev=bell,vectors=1,addr={}", bell_slot),
	        "-chardev", fmt::format("socket,id=bench,path={},server=on,wait=off", serial_socket().string()),
	        "-device", "virtio-serial-pci,id=benchserial,max_ports=2",
	        "-device", "virtserialport,bus=benchserial.0,chardev=bench,name=bench"};
	for (const auto &each : networks_) {
		const auto words = each.qemu_args();
		args.insert(args.end(), words.begin(), words.end());
	}
	if (vsock_)
		args.insert(args.end(), {"-device", fmt::format("vhost-vsock-pci,guest-cid={}", 1000 + getpid())});
	vm_.emplace(std::move(options));
	prepare_guest();
	region_.emplace(kvmchan::region::attach(server_.socket()));
	words_.emplace(*region_, "control");
	agent_.emplace(*vm_, "control");
}

void machine::finish()
{
	agent_.reset();
	words_.reset();
	vm_->check("rm -r /dev/kvmchan");
	vm_->shutdown();
}

void machine::abandon()
{
	vm_->kill9();
	networks_.clear();
	server_.process().kill9();
	bells_.process().kill9();
}

void machine::make_networks()
{
	networks_.push_back(network::user());
	std::string why;
	if (auto tap = network::tap(why))
		networks_.push_back(std::move(*tap));
	else
		skipped_.emplace_back("tcp-tap", why);
}

void machine::make_vsock()
{
	try {
		if (access("/dev/vhost-vsock", R_OK | W_OK) != 0)
			throw std::system_error{errno, std::generic_category(), "/dev/vhost-vsock"};
		vsock_ = listen_vsock();
	} catch (const std::system_error &e) {
		skipped_.emplace_back("vsock", e.what());
	}
}

void machine::prepare_guest()
{
	const auto extra = harness::kernel_directory() / "extra";
	vm_->check(fmt::format("set -e\n"
	                       "for module in /host{}/*.ko /host{}/*.ko; do\n"
	                       "	insmod $module\n"
	                       "done\n",
	                       std::filesystem::canonical(extra).string(), BENCH_LIMITS));
	bind_doorbell();
	for (const auto &each : networks_)
		each.configure(*vm_);
	link_names();
}

/* What udev does elsewhere. */
void machine::link_names()
{
	vm_->check("mkdir -p /dev/kvmchan/by-name\n"
	           "for node in /sys/class/kvmchan/*; do\n"
	           "	ln -sf /dev/${node##*/} /dev/kvmchan/by-name/$(cat $node/name)\n"
	           "done\n");
}

void machine::bind_doorbell()
{
	vm_->check(fmt::format("set -e\n"
	                       "cd /sys/bus/pci/devices/{0}\n"
	                       "echo bench_doorbell >driver_override\n"
	                       "if test -e driver; then echo {0} >driver/unbind; fi\n"
	                       "echo {0} >/sys/bus/pci/drivers_probe\n"
	                       "test -c /dev/bench-doorbell\n",
	                       bell_address));
}

void machine::set_parameter(const std::string &name, const std::string &value)
{
	vm_->check(fmt::format("echo {} >/sys/module/kvmchan/parameters/{}", value, name));
}

std::uint64_t machine::counter(const std::string &name, const std::string &channels)
{
	return std::stoull(vm_->check(fmt::format("sum=0\n"
	                                          "for node in /dev/kvmchan/by-name/{}; do\n"
	                                          "	file=/sys/class/kvmchan/$(basename $(readlink $node))/statistics/{}\n"
	                                          "	sum=$((sum + $(cat $file)))\n"
	                                          "done\n"
	                                          "echo $sum",
	                                          channels, name)));
}

} // namespace bench
