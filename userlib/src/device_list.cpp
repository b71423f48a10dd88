// SPDX-License-Identifier: MIT
#include "device_list.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

namespace kvmchan::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t ivshmem_vendor = 0x1af4;
constexpr std::uint64_t ivshmem_device = 0x1110;

std::string read_line(const fs::path &file)
{
	std::string line;

	std::getline(std::ifstream{file}, line);
	return line;
}

std::uint64_t read_number(const fs::path &file, int base = 10)
{
	try {
		return std::stoull(read_line(file), nullptr, base);
	} catch (const std::logic_error &) {
		return 0;
	}
}

/* The line of each BAR in "resource": start, end and flags. */
std::uint64_t bar_size(const fs::path &device, unsigned bar)
{
	std::ifstream lines{device / "resource"};
	std::string line;

	for (unsigned i = 0; i <= bar; ++i)
		std::getline(lines, line);
	try {
		std::size_t used = 0;
		const std::uint64_t first = std::stoull(line, &used, 16);
		const std::uint64_t last = std::stoull(line.substr(used), nullptr, 16);

		return last > first ? last - first + 1 : 0;
	} catch (const std::logic_error &) {
		return 0;
	}
}

/*
 * ivshmem-plain and ivshmem-doorbell have the same ID; MSI-X tells them apart.
 * Others than the superuser are shown 64 bytes of configuration space only, and
 * the capabilities come later: then BAR1, which holds MSI-X's table, has to do.
 */
bool has_msix(const fs::path &device)
{
	constexpr unsigned status = 6, list_there = 0x10, first_capability = 0x34, msix = 0x11;
	std::ifstream file{device / "config", std::ios::binary};
	const std::vector<char> raw{std::istreambuf_iterator<char>{file}, {}};
	const auto byte = [&](unsigned at) { return static_cast<unsigned char>(raw[at]); };

	if (raw.size() < 256)
		return bar_size(device, 1) != 0;
	if (!(byte(status) & list_there))
		return false;
	unsigned at = byte(first_capability) & ~3U;

	for (unsigned left = 48; left && at >= 0x40; --left) {
		if (byte(at) == msix)
			return true;
		at = byte(at + 1) & ~3U;
	}
	return false;
}

std::string link_name(const fs::path &link)
{
	std::error_code ec;

	return fs::read_symlink(link, ec).filename().string();
}

template <std::size_t N>
std::uint32_t index_in(const std::array<const char *, N> &names, const std::string &name)
{
	const auto found = std::find(names.begin(), names.end(), name);

	return found == names.end() ? 0 : static_cast<std::uint32_t>(found - names.begin());
}

node_entry read_node(const fs::path &node)
{
	constexpr std::array kinds{"", "channel", "memory"};
	constexpr std::array modes{"stream", "packet"};
	constexpr std::array states{"closed", "waiting", "connected", "disconnected", "broken"};
	node_entry entry;

	entry.node = node.filename().string();
	entry.name = read_line(node / "name");
	entry.device = link_name(node / "device");
	entry.kind = index_in(kinds, read_line(node / "kind"));
	entry.mode = index_in(modes, read_line(node / "mode"));
	entry.side = static_cast<std::uint32_t>(read_number(node / "side"));
	entry.state = index_in(states, read_line(node / "state"));
	entry.rx_size = read_number(node / "rx_size");
	entry.tx_size = read_number(node / "tx_size");
	entry.peer = read_line(node / "peer");
	entry.counters = read_counters(node);
	return entry;
}

unsigned node_number(const node_entry &entry)
{
	const auto digits = entry.node.find_first_of("0123456789");

	try {
		return digits == std::string::npos ? 0 : static_cast<unsigned>(std::stoul(entry.node.substr(digits)));
	} catch (const std::logic_error &) {
		return 0;
	}
}

std::vector<fs::path> entries_of(const fs::path &directory)
{
	std::vector<fs::path> list;
	std::error_code ec;

	for (fs::directory_iterator at{directory, ec}, end; !ec && at != end; at.increment(ec))
		list.push_back(at->path());
	std::sort(list.begin(), list.end());
	return list;
}

} // namespace

std::optional<device_entry> find_device(const std::string &address, const fs::path &sys)
{
	const fs::path device = sys / "bus/pci/devices" / address;
	device_entry entry;

	if (read_number(device / "vendor", 16) != ivshmem_vendor || read_number(device / "device", 16) != ivshmem_device)
		return std::nullopt;
	entry.address = address;
	entry.driver = link_name(device / "driver");
	entry.memory_size = bar_size(device, 2);
	entry.doorbell = has_msix(device);
	return entry;
}

std::vector<device_entry> list_devices(const fs::path &sys)
{
	std::vector<device_entry> list;

	for (const fs::path &path : entries_of(sys / "bus/pci/devices"))
		if (auto entry = find_device(path.filename().string(), sys))
			list.push_back(std::move(*entry));
	return list;
}

std::vector<node_entry> list_nodes(const fs::path &sys)
{
	std::vector<node_entry> list;

	for (const fs::path &path : entries_of(sys / "class/kvmchan"))
		list.push_back(read_node(path));
	std::sort(list.begin(), list.end(),
	          [](const node_entry &a, const node_entry &b) { return node_number(a) < node_number(b); });
	return list;
}

channel_counters read_counters(const fs::path &node)
{
	const fs::path at = node / "statistics";
	const auto number = [&](const char *name) { return read_number(at / name); };

	return {number("rx_bytes"),   number("tx_bytes"),         number("rx_records"), number("tx_records"),
	        number("doorbells_sent"), number("doorbells_suppressed"), number("interrupts"),
	        number("empty_interrupts"), number("ring_full"),     number("protocol_errors")};
}

} // namespace kvmchan::detail
