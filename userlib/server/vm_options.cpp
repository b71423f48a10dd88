// SPDX-License-Identifier: MIT
#include "vm_options.hpp"

#include <string_view>

#include <fmt/format.h>

namespace kvmchan {
namespace {

/* QEMU reads a doubled comma as one. */
std::string qemu_escape(std::string_view text)
{
	std::string out;

	for (const char c : text)
		out += c == ',' ? ",," : std::string{c};
	return out;
}

std::string xml_escape(std::string_view text)
{
	std::string out;

	for (const char c : text) {
		switch (c) {
		case '&':
			out += "&amp;";
			break;
		case '<':
			out += "&lt;";
			break;
		case '\'':
			out += "&apos;";
			break;
		default:
			out += c;
		}
	}
	return out;
}

/* QEMU's IDs are letters, digits and -._ and start with a letter. */
std::string qemu_id(std::string_view name)
{
	std::string out = "kvmchan-";

	for (const char c : name) {
		const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		                  c == '.' || c == '_';

		out += good ? c : '_';
	}
	return out;
}

std::string both(const region_config &region, const std::filesystem::path &socket, std::string_view title)
{
	return fmt::format("# {}: QEMU\n{}\n# {}: libvirt, in <devices>\n{}\n", title, qemu_options(region, socket), title,
	                   libvirt_element(region, socket));
}

} // namespace

std::string qemu_options(const region_config &region, const std::filesystem::path &socket)
{
	const std::string id = qemu_id(region.name);

	return fmt::format("-chardev socket,id={0},path={1} -device ivshmem-doorbell,chardev={0},vectors={2}", id,
	                   qemu_escape(std::filesystem::absolute(socket).string()), region.vectors);
}

std::string libvirt_element(const region_config &region, const std::filesystem::path &socket)
{
	return fmt::format("<shmem name='{}'>\n"
	                   "  <model type='ivshmem-doorbell'/>\n"
	                   "  <server path='{}'/>\n"
	                   "  <msi vectors='{}' ioeventfd='on'/>\n"
	                   "</shmem>",
	                   xml_escape(region.name), xml_escape(std::filesystem::absolute(socket).string()),
	                   region.vectors);
}

std::string describe_vm_options(const server_config &config)
{
	std::string out;

	for (const region_config &region : config.regions) {
		for (const vm_config &vm : region.vms)
			out += both(region, vm.socket, fmt::format("region {}, VM {}", region.name, vm.name));
		if (region.vms.empty())
			out += both(region, region.socket, fmt::format("region {}", region.name));
	}
	return out;
}

} // namespace kvmchan
