// SPDX-License-Identifier: MIT
#include "qemu_command.hpp"

#include "accelerator.hpp"
#include "architecture.hpp"
#include "boot_files.hpp"
#include "error.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <unistd.h>

namespace harness {

namespace {

using nlohmann::json;

std::uint64_t region_size(const ivshmem_plain &device)
{
	return device.size ? device.size : std::filesystem::file_size(device.memory);
}

// QEMU's option syntax ends a value at a comma; a doubled one is literal.
std::string escaped(std::string text)
{
	for (std::size_t at = 0; (at = text.find(',', at)) != std::string::npos; at += 2)
		text.insert(at, 1, ',');
	return text;
}

const char *on_off(bool value)
{
	return value ? "on" : "off";
}

std::string bus_option(const std::string &bus)
{
	return bus.empty() ? "" : ",bus=" + bus;
}

struct command_line {
	std::vector<std::string> words;

	void add(std::string option, std::string value)
	{
		words.push_back(std::move(option));
		words.push_back(std::move(value));
	}

	void operator()(const ivshmem_plain &device)
	{
		add("-object", fmt::format("memory-backend-file,id={}-mem,share=on,mem-path={},size={}",
		                           device.id, escaped(device.memory), region_size(device)));
		add("-device", fmt::format("ivshmem-plain,id={0},memdev={0}-mem,master={1}{2}",
		                           device.id, on_off(device.master), bus_option(device.bus)));
	}

	void operator()(const ivshmem_doorbell &device)
	{
		add("-chardev", fmt::format("socket,id={}-chr,path={}", device.id, escaped(device.socket)));
		add("-device", fmt::format("ivshmem-doorbell,id={0},chardev={0}-chr,vectors={1},master={2},"
		                           "ioeventfd={3}{4}",
		                           device.id, device.vectors, on_off(device.master),
		                           on_off(device.ioeventfd), bus_option(device.bus)));
	}
};

void add_machine(command_line &line, const guest_options &options)
{
	line.words.insert(line.words.end(),
	                  {"-nodefaults", "-no-user-config", "-display", "none"});
	line.add("-M", guest_architecture().machine);
	for (const auto &word : accelerator_args())
		line.words.push_back(word);
	line.add("-smp", fmt::format("{},maxcpus={}", options.cpus, std::max(options.cpus, 2U)));
	line.add("-m", fmt::format("{}", options.memory_mib));
	if (!options.allow_reboot)
		line.words.emplace_back("-no-reboot");
}

void add_kernel(command_line &line, const guest_options &options, const machine_files &files)
{
	line.add("-kernel", files.kernel);
	line.add("-initrd", files.initramfs);
	std::string port;
	if (options.control == control_port::serial) {
		if (!guest_architecture().second_uart)
			throw error{fmt::format("control_port::serial: {} has one UART", guest_architecture().name)};
		port = fmt::format("kvmchan.control={} ", guest_architecture().second_uart);
	}
	// Warnings reach the console too, so that a guest that dies has told why.
	// The rest is for busy hosts: they may leave a vCPU without time for long,
	// and Linux takes that for broken timers at boot or for stalls later.
	line.add("-append",
	         fmt::format("console={} loglevel=5 panic=-1 oops=panic no_timer_check "
	                     "rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 kmemleak=on "
	                     "kvmchan.token={} kvmchan.build={} kvmchan.tests={} {}{}",
	                     guest_architecture().console, files.token, build_directory().string(),
	                     guest_program_directory().string(), port, options.kernel_args));
}

void add_channels(command_line &line, const guest_options &options, const machine_files &files)
{
	line.add("-chardev", fmt::format("file,id=console,path={}", escaped(files.console)));
	line.add("-serial", "chardev:console");
	line.add("-chardev", fmt::format("socket,id=qmp,fd={}", files.qmp_fd));
	line.add("-mon", "chardev=qmp,mode=control");
	line.add("-chardev", fmt::format("socket,id=control,fd={}", files.control_fd));
	if (options.control == control_port::serial) {
		line.add("-serial", "chardev:control");
		return;
	}
	line.add("-device", "virtio-serial-pci,id=vserial,max_ports=2");
	line.add("-device", "virtserialport,bus=vserial.0,chardev=control,name=kvmchan.control");
}

void add_shares(command_line &line, const machine_files &files)
{
	const auto export_directory = [&](const char *tag, const std::string &path, const char *rest) {
		line.add("-fsdev", fmt::format("local,id={},path={},security_model=none,multidevs=remap{}",
		                               tag, escaped(path), rest));
		line.add("-device", fmt::format("virtio-9p-pci,fsdev={0},mount_tag={0}", tag));
	};
	export_directory("share", files.share, "");
	export_directory("host", "/", ",readonly=on");
}

void add_devices(command_line &line, const guest_options &options)
{
	int chassis = 0;
	for (const auto &port : options.root_ports) {
		++chassis;
		line.add("-device", fmt::format("pcie-root-port,id={},chassis={},slot={},pref64-reserve={}",
		                                port.id, chassis, chassis, port.prefetch_reserve));
	}
	// A BAR that cannot fit below 4 GiB makes the firmware move all 64-bit
	// prefetchable ones up; this one has no memory behind it.
	if (options.bars_above_4g)
		line.add("-device", "pci-testdev,membar=4G");
	for (const auto &device : options.devices)
		std::visit(line, device);
}

struct plug_builder {
	std::vector<qmp_step> operator()(const ivshmem_plain &device) const
	{
		json plug{{"driver", "ivshmem-plain"},
		          {"id", device.id},
		          {"memdev", device.id + "-mem"},
		          {"master", on_off(device.master)}};
		if (!device.bus.empty())
			plug["bus"] = device.bus;
		return {{"object-add", {{"qom-type", "memory-backend-file"},
		                        {"id", device.id + "-mem"},
		                        {"share", true},
		                        {"mem-path", device.memory.string()},
		                        {"size", region_size(device)}}},
		        {"device_add", plug}};
	}

	std::vector<qmp_step> operator()(const ivshmem_doorbell &device) const
	{
		const json address{{"type", "unix"}, {"data", {{"path", device.socket.string()}}}};
		const json backend{{"type", "socket"}, {"data", {{"addr", address}, {"server", false}}}};
		json plug{{"driver", "ivshmem-doorbell"},
		          {"id", device.id},
		          {"chardev", device.id + "-chr"},
		          {"vectors", device.vectors},
		          {"ioeventfd", device.ioeventfd},
		          {"master", on_off(device.master)}};
		if (!device.bus.empty())
			plug["bus"] = device.bus;
		return {{"chardev-add", {{"id", device.id + "-chr"}, {"backend", backend}}},
		        {"device_add", plug}};
	}
};

} // namespace

std::vector<std::string> qemu_command(const guest_options &options, const machine_files &files,
                                      const std::string &incoming)
{
	command_line line{{guest_architecture().qemu}};
	add_machine(line, options);
	add_kernel(line, options, files);
	add_channels(line, options, files);
	if (options.shares)
		add_shares(line, files);
	add_devices(line, options);
	if (!incoming.empty())
		line.add("-incoming", incoming);
	line.words.insert(line.words.end(), options.qemu_args.begin(), options.qemu_args.end());
	return std::move(line.words);
}

std::vector<qmp_step> plug_steps(const ivshmem &device)
{
	return std::visit(plug_builder{}, device);
}

std::vector<qmp_step> unplug_steps(const ivshmem &device)
{
	if (std::holds_alternative<ivshmem_plain>(device))
		return {{"object-del", {{"id", device_id(device) + "-mem"}}}};
	std::vector<qmp_step> steps;
	/*
	 * Without KVM's irqfd, QEMU 7.2 closes the eventfds of a doorbell device but
	 * goes on to watch their numbers, and touches freed memory when a new file
	 * gets one and is ready. Listening sockets that nobody connects to take them.
	 */
	for (int i = 0; i < 32; ++i) {
		static unsigned count = 0;
		const auto name = "never-" + std::to_string(::getpid()) + '-' + std::to_string(count++);
		const json address{{"type", "unix"}, {"data", {{"path", name}, {"abstract", true}}}};
		const json backend{{"type", "socket"}, {"data", {{"addr", address}, {"server", true}, {"wait", false}}}};
		steps.push_back({"chardev-add", {{"id", name}, {"backend", backend}}});
	}
	// Before the next plug of that name, else QEMU aborts.
	steps.push_back({"chardev-remove", {{"id", device_id(device) + "-chr"}}});
	return steps;
}

const std::string &device_id(const ivshmem &device)
{
	return std::visit([](const auto &each) -> const std::string & { return each.id; }, device);
}

} // namespace harness
