// SPDX-License-Identifier: MIT
/*
 * A machine for tests of the module: two or three ivshmem devices over the
 * same region, so that programs in the guest hold both sides of a channel.
 */
#pragma once

#include "architecture.hpp"
#include "boot_files.hpp"
#include "guest_case.hpp"
#include "host_process.hpp"
#include "manager.hpp"
#include "memory.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace module_test {

using namespace harness;
using kvmchan::slot_spec;

inline slot_spec channel(std::string name, std::uint64_t size0, std::uint64_t size1 = 0,
                         kvmchan_mode mode = KVMCHAN_MODE_STREAM)
{
	return {.name = std::move(name),
	        .mode = mode,
	        .side = {KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY},
	        .size = {size0, size1 ? size1 : size0}};
}

inline slot_spec packets(std::string name, std::uint64_t size)
{
	return channel(std::move(name), size, size, KVMCHAN_MODE_PACKET);
}

inline slot_spec block(std::string name, std::uint64_t size)
{
	return {.name = std::move(name),
	        .kind = KVMCHAN_KIND_MEMORY,
	        .side = {KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY},
	        .size = {size, 0}};
}

/** The slots that the in-guest programs expect. */
inline std::vector<slot_spec> usual_slots()
{
	std::vector<slot_spec> slots{
		channel("stream", 64 << 10), channel("small", 4 << 10), channel("big", 4 << 20),
		channel("asym", 4 << 10, 64 << 10), packets("packet", 64 << 10), packets("packet4k", 4 << 10),
		packets("packetbig", 4 << 20), block("block", 1 << 20), block("page", 4 << 10)};
	for (int i = 0; i < 64; ++i)
		slots.push_back(channel(fmt::format("many{}", i), 4 << 10));
	return slots;
}

/** A file with a formatted region, whose manager is here. */
class region {
public:
	region(std::filesystem::path file, std::uint64_t size, const std::vector<slot_spec> &slots,
	       std::uint32_t table = 0)
	    : file_{std::move(file)}, memory_{kvmchan::memory::create_file(file_, size)},
	      table_{kvmchan::manager::format(memory_.bytes(), {.slots = table, .zeroed = true})}
	{
		for (const auto &slot : slots)
			table_.add(slot);
	}

	const std::filesystem::path &file() const { return file_; }
	std::span<std::byte> bytes() const { return memory_.bytes(); }
	kvmchan::manager &table() { return table_; }
	void reformat() { table_ = kvmchan::manager::format(memory_.bytes()); }

	ivshmem_plain plain(std::string id, std::string bus = "") const
	{
		return {.id = std::move(id), .memory = file_, .bus = std::move(bus)};
	}

	/** What the control pages of a slot hold now. */
	kvmchan_control *control(std::string_view name)
	{
		const auto slot = table_.find(name);
		return reinterpret_cast<kvmchan_control *>(memory_.bytes().data() + table_.slots()[slot.value()].control);
	}

private:
	std::filesystem::path file_;
	kvmchan::memory memory_;
	kvmchan::manager table_;
};

/** `kvmchan serve` over a region's file; its manager takes over. */
class doorbell_server {
public:
	doorbell_server(const region &over, const std::filesystem::path &directory, unsigned vectors)
	    : socket_{directory / "server.sock"}, vectors_{vectors}
	{
		const auto config = directory / "server.toml";
		std::ofstream{config} << fmt::format("[[region]]\nname = \"test\"\nsize = \"{}K\"\nmemory = \"file\"\n"
		                                     "path = \"{}\"\nkeep = true\nsocket = \"{}\"\nvectors = {}\n",
		                                     over.bytes().size() >> 10, over.file().string(),
		                                     socket_.string(), vectors);
		const auto tool = build_directory() / "userlib" / "kvmchan";
		process_.emplace(std::vector<std::string>{tool, "serve", "-F", "-c", config});
		process_->wait_output("-device");
	}

	ivshmem_doorbell device(std::string id, unsigned vectors = 0, std::string bus = "") const
	{
		return {.id = std::move(id), .socket = socket_, .vectors = vectors ? vectors : vectors_, .bus = std::move(bus)};
	}
	host_process &process() { return *process_; }

private:
	std::filesystem::path socket_;
	unsigned vectors_;
	std::optional<host_process> process_;
};

/**
 * Gives side 0 of every channel to the first ivshmem device and side 1 to the
 * second one, and takes the driver off the third one, so that its memory can
 * be mapped raw. May be called again.
 */
inline void arrange_sides(guest &machine)
{
	machine.check("n=0\n"
	              "for d in /sys/bus/pci/devices/*; do\n"
	              "	[ $(cat $d/vendor)$(cat $d/device) = 0x1af40x1110 ] || continue\n"
	              "	n=$((n+1))\n"
	              "	if [ $n = 1 ] && [ $(cat $d/ivshmem/prefer_side) != 0 ]; then\n"
	              "		echo 0 >$d/ivshmem/prefer_side\n"
	              "	fi\n"
	              "	if [ $n = 3 ] && [ -e $d/driver ]; then\n"
	              "		echo ${d##*/} >$d/driver/unbind\n"
	              "	fi\n"
	              "done");
}

struct plain_flavour {
	static constexpr bool doorbell = false;
	static constexpr unsigned vectors = 0;
};
struct doorbell_flavour {
	static constexpr bool doorbell = true;
	static constexpr unsigned vectors = 4;
};

/** A suite whose tests share a guest with both sides, in either flavour. */
template <typename Flavour>
class both_sides : public shared_guest_case {
public:
	static void TearDownTestSuite()
	{
		shared_guest_case::TearDownTestSuite();
		server().reset();
		memory().reset();
	}

protected:
	/** Call from SetUpTestSuite(). @p raw: a third device without a driver. */
	static void share_both_sides(std::uint64_t size, const std::vector<slot_spec> &slots, bool raw = false,
	                             guest_options options = {}, std::uint32_t table = 0)
	{
		memory() = std::make_unique<region>(suite_dir() / "region", size, slots, table);
		if constexpr (Flavour::doorbell) {
			server() = std::make_unique<doorbell_server>(*memory(), suite_dir().path(), Flavour::vectors);
			options.devices = {server()->device("side0"), server()->device("side1")};
		} else {
			options.devices = {memory()->plain("side0"), memory()->plain("side1")};
		}
		if (raw)
			options.devices.emplace_back(memory()->plain("raw"));
		share(std::move(options));
	}

	guest &machine()
	{
		auto &g = shared();
		arrange_sides(g);
		return g;
	}

	/** Runs an in-guest program against the two sides. */
	void run(command program) { run_guest_tests(machine(), std::move(program)); }

	static std::unique_ptr<region> &memory()
	{
		static std::unique_ptr<region> instance;
		return instance;
	}
	static std::unique_ptr<doorbell_server> &server()
	{
		static std::unique_ptr<doorbell_server> instance;
		return instance;
	}
};

using flavours = ::testing::Types<plain_flavour, doorbell_flavour>;

struct flavour_names {
	template <typename Flavour>
	static std::string GetName(int)
	{
		return Flavour::doorbell ? "doorbell" : "plain";
	}
};

} // namespace module_test
