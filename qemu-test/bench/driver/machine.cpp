// SPDX-License-Identifier: MIT
#include "machine.hpp"

#include "block_ends.hpp"
#include "error.hpp"
#include "guest_setup.hpp"
#include "sockets.hpp"

#include "control_service.hpp"

#include <fmt/format.h>

#include <system_error>

#include <unistd.h>

namespace bench {

namespace {

/* Where the bare doorbell is on the guest's PCI bus. */
constexpr const char *bell_slot = "0x1e";
constexpr const char *bell_address = "0000:00:1e.0";

std::string channel(const std::string &name, const char *mode, const char *size)
{
	return fmt::format("[[region.channel]]\nname = \"{}\"\nmode = \"{}\"\nsize = \"{}\"\n", name, mode, size);
}

/* What there is once, in the first region. */
std::string single_slots()
{
	std::string out;
	const auto block = [&](const char *name, std::size_t size) {
		out += fmt::format("[[region.memory_block]]\nname = \"{}\"\nsize = {}\n", name, size);
	};
	block("control", 64 << 10);
	block("turns", 64 << 10);
	block("copies", 4 << 20);
	for (const char *name : {"ring", "calls", "asking"})
		block(name, ring_end::block_size);
	for (const char *name : {"stream", "nospin", "mapped"})
		out += channel(name, "stream", "1M");
	for (const char *name : {"packet", "mappedpacket"})
		out += channel(name, "packet", "1M");
	return out + channel("stream4", "stream", "4M") + channel("opened", "stream", "64K");
}

/* One region of several; what is numbered goes around. */
harness::region_server::setup region_setup(unsigned number, unsigned regions)
{
	harness::region_server::setup out{.size = "64M", .vectors = 8, .toml = "slots = 512\n"};
	if (number == 0)
		out.toml += single_slots();
	for (std::size_t i = number; i < machine::many; i += regions)
		out.toml += channel(fmt::format("many{}", i), "stream", "64K");
	return out;
}

std::filesystem::path control_socket(const harness::region_server &server)
{
	auto path = server.socket();
	return path += ".ctl";
}

} // namespace

machine::machine(unsigned cpus, unsigned more, profile *profiled) : bells_{{.size = "1M", .vectors = 1}}
{
	for (unsigned i = 0; i <= more; ++i)
		servers_.push_back(std::make_unique<harness::region_server>(region_setup(i, more + 1)));
	make_networks();
	make_vsock();
	harness::guest_options options{.cpus = cpus, .memory_mib = 512};
	for (std::size_t i = 0; i < servers_.size(); ++i)
		options.devices.emplace_back(servers_[i]->device(fmt::format("channels{}", i)));
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
	if (profiled) {
		const auto words = profiled->qemu_args();
		args.insert(args.end(), words.begin(), words.end());
	}
	vm_.emplace(std::move(options));
	prepare_guest();
	if (profiled)
		profiled->learn_symbols(*vm_);
	for (const auto &server : servers_)
		regions_.push_back(kvmchan::region::attach(server->socket()));
	words_.emplace(regions_[0], "control");
	agent_.emplace(*vm_, "control");
}

void machine::finish()
{
	agent_.reset();
	words_.reset();
	unlink_names(*vm_);
	vm_->shutdown();
}

void machine::abandon()
{
	vm_->kill9();
	networks_.clear();
	for (auto &server : servers_)
		server->process().kill9();
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
	load_modules(*vm_);
	bind_doorbell();
	for (const auto &each : networks_)
		each.configure(*vm_);
	link_names(*vm_);
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

std::size_t machine::nodes()
{
	return std::stoul(vm_->check("ls /sys/class/kvmchan | wc -l"));
}

void machine::await_nodes(std::size_t count)
{
	const auto deadline = harness::deadline_after(harness::nominal::command);
	while (nodes() != count) {
		if (harness::clock::now() > deadline)
			throw harness::deadline_error{fmt::format("the guest has {} channels and blocks, not {}", nodes(), count)};
	}
	link_names(*vm_);
}

void machine::add_channels(const std::string &prefix, std::size_t count, const std::string &size)
{
	const auto before = nodes();
	for (std::size_t i = 0; i < count; ++i)
		kvmchan::control_request(control_socket(server(i)),
		                         {{"cmd", "add"}, {"name", fmt::format("{}{}", prefix, i)}, {"size", size}});
	await_nodes(before + count);
}

void machine::remove_channels(const std::string &prefix, std::size_t count)
{
	const auto before = nodes();
	for (std::size_t i = 0; i < count; ++i)
		kvmchan::control_request(control_socket(server(i)),
		                         {{"cmd", "remove"}, {"name", fmt::format("{}{}", prefix, i)}});
	await_nodes(before - count);
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
