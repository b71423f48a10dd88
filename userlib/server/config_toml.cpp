// SPDX-License-Identifier: MIT
// The configuration file.
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <system_error>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "config.hpp"
#include "memory_size.hpp"

namespace kvmchan {
namespace {

/* A table being read: where it is, and which file it came from. */
struct reader {
	const std::string &file;
	const toml::table &table;
	std::string path;

	template <typename... Args>
	[[noreturn]] void refuse(const toml::node &at, std::string_view key, fmt::format_string<Args...> format,
	                         Args &&...args) const
	{
		const auto &begin = at.source().begin;

		throw std::system_error{std::make_error_code(std::errc::invalid_argument),
		                        fmt::format("{}:{}:{}: {}: {}", file, begin.line, begin.column, full(key),
		                                    fmt::format(format, std::forward<Args>(args)...))};
	}

	std::string full(std::string_view key) const
	{
		return key.empty() ? path : path.empty() ? std::string{key} : fmt::format("{}.{}", path, key);
	}

	void only(std::initializer_list<std::string_view> keys) const
	{
		for (const auto &[key, node] : table)
			if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
				refuse(node, key.str(), "unknown key (known here: {})", fmt::join(keys, ", "));
	}

	std::string string_of(const toml::node &node, std::string_view key) const
	{
		if (!node.is_string())
			refuse(node, key, "has to be a string");
		return node.as_string()->get();
	}

	void read(std::string_view key, std::string &to) const
	{
		if (const toml::node *node = table.get(key))
			to = string_of(*node, key);
	}

	void read(std::string_view key, std::filesystem::path &to) const
	{
		if (const toml::node *node = table.get(key))
			to = string_of(*node, key);
	}

	void read(std::string_view key, bool &to) const
	{
		if (const toml::node *node = table.get(key)) {
			if (!node->is_boolean())
				refuse(*node, key, "has to be true or false");
			to = node->as_boolean()->get();
		}
	}

	std::int64_t integer(const toml::node &node, std::string_view key, std::int64_t least, std::int64_t most) const
	{
		if (!node.is_integer())
			refuse(node, key, "has to be a number from {} to {}", least, most);
		const std::int64_t value = node.as_integer()->get();

		if (value < least || value > most)
			refuse(node, key, "{} is not within {} to {}", value, least, most);
		return value;
	}

	template <typename T>
	void read(std::string_view key, T &to, std::int64_t least, std::int64_t most) const
	{
		if (const toml::node *node = table.get(key))
			to = static_cast<T>(integer(*node, key, least, most));
	}

	std::uint64_t size(const toml::node &node, std::string_view key) const
	{
		if (node.is_integer())
			return static_cast<std::uint64_t>(
				integer(node, key, 0, std::numeric_limits<std::int64_t>::max()));

		std::error_code ec;
		const std::uint64_t value = parse_size(string_of(node, key), ec);

		if (ec)
			refuse(node, key, "\"{}\" is no size (write bytes, or a number with K, M, G or T)",
			       node.as_string()->get());
		return value;
	}

	/* Each entry of a list, or the one value that stands for a list of one. */
	template <typename Visit>
	void each(std::string_view key, Visit visit) const
	{
		const toml::node *node = table.get(key);

		if (node && node->is_array())
			for (const toml::node &entry : *node->as_array())
				visit(entry);
		else if (node)
			visit(*node);
	}

	template <typename Visit>
	void tables(std::string_view key, Visit visit) const
	{
		const toml::node *node = table.get(key);

		if (!node)
			return;
		if (!node->is_array())
			refuse(*node, key, "has to be written as [[{}]]", full(key));
		for (const toml::node &entry : *node->as_array()) {
			if (!entry.is_table())
				refuse(entry, key, "has to be written as [[{}]]", full(key));
			visit(reader{file, *entry.as_table(), full(key)});
		}
	}

	const toml::node &required(std::string_view key) const
	{
		const toml::node *node = table.get(key);

		if (!node)
			refuse(table, key, "is missing");
		return *node;
	}
};

uid_t user_of(const reader &from, const toml::node &node, std::string_view key)
{
	if (node.is_integer())
		return static_cast<uid_t>(from.integer(node, key, 0, std::numeric_limits<uid_t>::max() - 1));
	const passwd *const entry = ::getpwnam(from.string_of(node, key).c_str());

	if (!entry)
		from.refuse(node, key, "no user \"{}\"", node.as_string()->get());
	return entry->pw_uid;
}

gid_t group_of(const reader &from, const toml::node &node, std::string_view key)
{
	if (node.is_integer())
		return static_cast<gid_t>(from.integer(node, key, 0, std::numeric_limits<gid_t>::max() - 1));
	const group *const entry = ::getgrnam(from.string_of(node, key).c_str());

	if (!entry)
		from.refuse(node, key, "no group \"{}\"", node.as_string()->get());
	return entry->gr_gid;
}

mode_t mode_of(const reader &from, const toml::node &node, std::string_view key)
{
	const std::string text = from.string_of(node, key);
	std::size_t used = 0;
	unsigned long mode = 0;

	try {
		mode = std::stoul(text, &used, 8);
	} catch (const std::logic_error &) {
		used = 0;
	}
	if (used == 0 || used != text.size() || mode > 0777)
		from.refuse(node, key, R"("{}" is no mode such as "0660" (at most "0777"))", text);
	return static_cast<mode_t>(mode);
}

void read_memory_kind(const reader &from, region_config &region)
{
	const toml::node *node = from.table.get("memory");

	if (!node)
		return;
	const std::string kind = from.string_of(*node, "memory");

	if (kind == "memfd")
		region.memory = memory_kind::memfd;
	else if (kind == "shm")
		region.memory = memory_kind::shm;
	else if (kind == "file")
		region.memory = memory_kind::file;
	else if (kind == "directory")
		region.memory = memory_kind::directory;
	else
		from.refuse(*node, "memory", "\"{}\" is none of memfd, shm, file, directory", kind);
	if (region.memory == memory_kind::memfd)
		return;
	const std::string_view key = region.memory == memory_kind::shm ? "shm_name" : "path";

	region.memory_name = from.string_of(from.required(key), key);
}

vm_config read_vm(const reader &from)
{
	vm_config vm;

	from.only({"name", "id", "socket"});
	vm.name = from.string_of(from.required("name"), "name");
	from.read("socket", vm.socket);
	if (const toml::node *node = from.table.get("id"))
		vm.id = static_cast<std::uint16_t>(from.integer(*node, "id", 0, KVMCHAN_PEER_MAX));
	return vm;
}

void read_sides(const reader &from, slot_config &slot)
{
	if (const toml::node *node = from.table.get("vm"))
		slot.sides = {"host", from.string_of(*node, "vm")};

	const toml::node *node = from.table.get("sides");

	if (!node)
		return;
	if (!slot.sides[0].empty())
		from.refuse(*node, "sides", "give either vm or sides");
	if (!node->is_array() || node->as_array()->size() != 2)
		from.refuse(*node, "sides", R"(has two entries: "host", "any", a VM's name or an ID)");
	for (std::size_t i = 0; i < 2; ++i) {
		const toml::node &entry = *node->as_array()->get(i);

		slot.sides[i] = entry.is_integer() ? std::to_string(from.integer(entry, "sides", 0, KVMCHAN_PEER_MAX))
		                                   : from.string_of(entry, "sides");
	}
}

slot_config begin_slot(const reader &from)
{
	const toml::node &name = from.required("name");
	slot_config slot;

	slot.spec.name = from.string_of(name, "name");
	slot.origin = fmt::format("{}:{}", from.file, name.source().begin.line);
	read_sides(from, slot);
	return slot;
}

slot_config read_channel(const reader &from)
{
	from.only({"name", "mode", "size", "vm", "sides"});
	slot_config slot = begin_slot(from);
	std::string mode = "stream";

	from.read("mode", mode);
	if (mode == "packet")
		slot.spec.mode = KVMCHAN_MODE_PACKET;
	else if (mode != "stream")
		from.refuse(*from.table.get("mode"), "mode", "\"{}\" is neither stream nor packet", mode);

	std::size_t count = 0;

	from.each("size", [&](const toml::node &node) {
		const std::uint64_t size = from.size(node, "size");

		if (!kvmchan_ring_size_ok(size))
			from.refuse(node, "size", "{} is no power of two from 4K to 1G", size);
		if (count == 2)
			from.refuse(node, "size", "has one or two entries: the ring that each side writes");
		if (count == 0)
			slot.spec.size[1] = size;
		slot.spec.size[count++] = size;
	});
	return slot;
}

slot_config read_memory(const reader &from)
{
	from.only({"name", "size", "vm", "sides"});
	slot_config slot = begin_slot(from);
	const std::uint64_t size = from.size(from.required("size"), "size");

	if (size == 0 || size % KVMCHAN_PAGE_SIZE != 0)
		from.refuse(from.required("size"), "size", "{} is no multiple of {}", size, KVMCHAN_PAGE_SIZE);
	slot.spec.kind = KVMCHAN_KIND_MEMORY;
	slot.spec.size = {size, 0};
	return slot;
}

void read_size(const reader &from, region_config &region)
{
	const toml::node &node = from.required("size");

	region.size = from.size(node, "size");
	if (!is_region_size(region.size))
		from.refuse(node, "size", "{} is no power of two from 4K to {}: QEMU takes no other", region.size,
		            format_size(region_size_max));
}

region_config read_region(const reader &from)
{
	region_config region;
	std::int64_t deadline = region.client_deadline.count();

	from.only({"name", "size", "memory", "shm_name", "path", "keep", "raw", "slots", "vectors", "socket", "mode",
	           "group", "allow_users", "allow_groups", "max_clients", "client_deadline_ms", "vm", "channel",
	           "memory_block"});
	region.name = from.string_of(from.required("name"), "name");
	region.socket = from.string_of(from.required("socket"), "socket");
	read_size(from, region);
	read_memory_kind(from, region);
	from.read("keep", region.keep_memory);
	from.read("raw", region.raw);
	from.read("slots", region.table_slots, 1, KVMCHAN_MAX_SLOTS);
	from.read("vectors", region.vectors, 1, region_vectors_max);
	from.read("max_clients", region.max_clients, 1, region_clients_max);
	from.read("client_deadline_ms", deadline, 10, 3'600'000);
	region.client_deadline = std::chrono::milliseconds{deadline};
	if (const toml::node *node = from.table.get("mode"))
		region.mode = mode_of(from, *node, "mode");
	if (const toml::node *node = from.table.get("group"))
		region.group = group_of(from, *node, "group");
	from.each("allow_users",
	          [&](const toml::node &node) { region.allow_uids.push_back(user_of(from, node, "allow_users")); });
	from.each("allow_groups",
	          [&](const toml::node &node) { region.allow_gids.push_back(group_of(from, node, "allow_groups")); });
	from.tables("vm", [&](const reader &vm) { region.vms.push_back(read_vm(vm)); });
	from.tables("channel", [&](const reader &slot) { region.slots.push_back(read_channel(slot)); });
	from.tables("memory_block", [&](const reader &slot) { region.slots.push_back(read_memory(slot)); });
	return region;
}

toml::table parse_file(const std::string &file)
try {
	return toml::parse_file(file);
} catch (const toml::parse_error &error) {
	const auto &begin = error.source().begin;

	/* toml++ reports a file that cannot be opened without a position. */
	throw std::system_error{std::make_error_code(begin.line ? std::errc::invalid_argument
	                                                        : std::errc::no_such_file_or_directory),
	                        begin.line ? fmt::format("{}:{}:{}: {}", file, begin.line, begin.column,
	                                                 error.description())
	                                   : fmt::format("{}: {}", file, error.description())};
}

} // namespace

server_config load_config(const std::filesystem::path &path)
{
	const std::string file = path.string();
	const toml::table document = parse_file(file);
	const reader root{file, document, ""};
	server_config config;

	root.only({"region"});
	root.required("region");
	root.tables("region", [&](const reader &region) { config.regions.push_back(read_region(region)); });
	try {
		complete(config);
	} catch (const std::system_error &error) {
		throw std::system_error{error.code(), file + ": " + error_text(error)};
	}
	return config;
}

} // namespace kvmchan
