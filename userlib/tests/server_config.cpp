// SPDX-License-Identifier: MIT
// Configuration: what is understood, and how what is not is told.
#include "config.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "server_fixture.hpp"
#include "vm_options.hpp"

namespace kvmchan::testing {
namespace {

class server_config_test : public ::testing::Test {
protected:
	server_config load(const std::string &text)
	{
		file_ = directory_ / "kvmchan.toml";
		std::ofstream{file_} << text;
		return load_config(file_);
	}

	/* The error of @p text has each of @p parts, and the file. */
	void expect_error(const std::string &text, std::initializer_list<std::string> parts)
	{
		try {
			load(text);
			ADD_FAILURE() << "accepted:\n" << text;
		} catch (const std::system_error &error) {
			const std::string what = error.what();

			EXPECT_NE(what.find(file_.string()), std::string::npos) << what;
			for (const std::string &part : parts)
				EXPECT_NE(what.find(part), std::string::npos) << part << " is not in: " << what;
		}
	}

	temporary_directory directory_;
	std::filesystem::path file_;
};

const std::string head = "[[region]]\nname = \"r\"\nsocket = \"/run/r\"\nsize = \"16M\"\n";

TEST_F(server_config_test, whole_file)
{
	const server_config config = load(head + R"(
memory = "shm"
shm_name = "thing"
vectors = 12
mode = "0600"
allow_users = ["root", 1000]
allow_groups = 5
max_clients = 7
client_deadline_ms = 2500

[[region.vm]]
name = "web"
id = 9
socket = "/run/web"

[[region.vm]]
name = "db"

[[region.channel]]
name = "a"
mode = "packet"
size = ["64K", "1M"]
vm = "web"

[[region.channel]]
name = "b"
size = 8192
sides = ["web", "db"]

[[region.channel]]
name = "c"

[[region.memory_block]]
name = "frames"
size = "2M"
sides = ["any", 77]
)");

	ASSERT_EQ(config.regions.size(), 1U);
	const region_config &region = config.regions[0];

	EXPECT_EQ(region.size, 16U << 20);
	EXPECT_EQ(region.memory, memory_kind::shm);
	EXPECT_EQ(region.memory_name, "thing");
	EXPECT_EQ(region.vectors, 12U);
	EXPECT_EQ(region.mode, 0600U);
	EXPECT_EQ(region.allow_uids, (std::vector<uid_t>{0, 1000}));
	EXPECT_EQ(region.allow_gids, (std::vector<gid_t>{5}));
	EXPECT_EQ(region.max_clients, 7U);
	EXPECT_EQ(region.client_deadline.count(), 2500);
	ASSERT_EQ(region.vms.size(), 2U);
	EXPECT_EQ(region.vms[0].id, 9);
	EXPECT_EQ(region.vms[0].socket, "/run/web");
	EXPECT_EQ(region.vms[1].id, 1);
	EXPECT_EQ(region.vms[1].socket, "/run/r.db");
	ASSERT_EQ(region.slots.size(), 4U);
	EXPECT_EQ(region.slots[0].spec.mode, KVMCHAN_MODE_PACKET);
	EXPECT_EQ(region.slots[0].spec.size, (std::array<std::uint64_t, 2>{65536, 1 << 20}));
	EXPECT_EQ(region.slots[0].spec.side, (std::array<std::uint32_t, 2>{KVMCHAN_PEER_HOST, 9}));
	EXPECT_EQ(region.slots[1].spec.size, (std::array<std::uint64_t, 2>{8192, 8192}));
	EXPECT_EQ(region.slots[1].spec.side, (std::array<std::uint32_t, 2>{9, 1}));
	EXPECT_EQ(region.slots[2].spec.side, (std::array<std::uint32_t, 2>{KVMCHAN_PEER_HOST, KVMCHAN_PEER_ANY}));
	EXPECT_EQ(region.slots[3].spec.kind, KVMCHAN_KIND_MEMORY);
	EXPECT_EQ(region.slots[3].spec.side, (std::array<std::uint32_t, 2>{KVMCHAN_PEER_ANY, 77}));
}

TEST_F(server_config_test, errors_name_file_line_key_and_limit)
{
	expect_error("[[region]]\nname = \"r\"\nsocket = \"/s\"\nsize = \"3M\"\n", {":4:", "region.size", "power of two"});
	expect_error("[[region]]\nname = \"r\"\nsocket = \"/s\"\nsize = \"lots\"\n", {":4:", "region.size", "lots"});
	expect_error("[[region]]\nname = \"r\"\nsize = \"1M\"\n", {":1:", "region.socket", "missing"});
	expect_error(head + "vectors = 0\n", {":5:", "region.vectors", "0", "1 to 2048"});
	expect_error(head + "vectors = 4096\n", {":5:", "region.vectors", "4096", "1 to 2048"});
	expect_error(head + "vectors = \"many\"\n", {":5:", "region.vectors", "number"});
	expect_error(head + "colour = 1\n", {":5:", "region.colour", "unknown key", "vectors"});
	expect_error(head + "mode = \"0999\"\n", {":5:", "region.mode", "0999"});
	expect_error(head + "mode = \"07777\"\n", {":5:", "region.mode", "0777"});
	expect_error(head + "allow_users = [\"no-such-user\"]\n", {":5:", "allow_users", "no-such-user"});
	expect_error(head + "group = \"no-such-group\"\n", {":5:", "region.group", "no-such-group"});
	expect_error(head + "keep = 1\n", {":5:", "region.keep", "true or false"});
	expect_error(head + "memory = \"disk\"\n", {":5:", "region.memory", "disk", "memfd"});
	expect_error(head + "memory = \"shm\"\n", {"region.shm_name", "missing"});
	expect_error(head + "client_deadline_ms = 1\n", {":5:", "client_deadline_ms", "10 to 3600000"});
	expect_error(head + "channel = 3\n", {":5:", "[[region.channel]]"});
	expect_error(head + "[[region.channel]]\nsize = 4096\n", {":5:", "region.channel.name", "missing"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nsize = 5000\n", {":7:", "channel.size", "5000", "4K to 1G"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nsize = [1,2,3]\n", {":7:", "channel.size"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nsize = [4096,4096,4096]\n", {":7:", "one or two"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nmode = \"x\"\n", {":7:", "mode", "stream"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nvm = \"w\"\n", {":6", "\"w\"", "VM"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nsides = [\"host\"]\n", {":7:", "sides", "two"});
	expect_error(head + "[[region.channel]]\nname = \"a\"\nsides = [1, 70000]\n", {":7:", "70000", "0 to 65535"});
	expect_error(head + "[[region.vm]]\nname = \"w\"\nid = 65536\n", {":7:", "region.vm.id", "0 to 65535"});
	expect_error(head + "[[region.vm]]\nname = \"w\"\nid = 3\n[[region.vm]]\nname = \"v\"\nid = 3\n", {"id 3"});
	expect_error(head + "[[region.vm]]\nname = \"w\"\n[[region.vm]]\nname = \"w\"\n", {"\"w\""});
	expect_error(head + "[[region.vm]]\nname = \"host\"\n", {"host"});
	expect_error(head + "[[region.memory_block]]\nname = \"m\"\nsize = 100\n", {":7:", "100", "4096"});
	expect_error(head + head, {"\"r\""});
	expect_error("[[region]\n", {":1:"});
	expect_error("", {"region", "missing"});
	expect_error("region = 5\n", {":1:", "[[region]]"});
}

TEST_F(server_config_test, missing_file)
{
	try {
		load_config(directory_ / "none.toml");
		ADD_FAILURE() << "no exception";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
		EXPECT_NE(std::string{error.what()}.find("none.toml"), std::string::npos) << error.what();
	}
}

TEST_F(server_config_test, flags)
{
	EXPECT_EQ(parse_channel_flag("a").spec.name, "a");
	EXPECT_EQ(parse_channel_flag("a:packet").spec.mode, KVMCHAN_MODE_PACKET);
	EXPECT_EQ(parse_channel_flag("a::8K").spec.size, (std::array<std::uint64_t, 2>{8192, 8192}));
	EXPECT_EQ(parse_channel_flag("a:stream:8K,1M").spec.size, (std::array<std::uint64_t, 2>{8192, 1 << 20}));
	EXPECT_THROW(parse_channel_flag("a:fast"), std::system_error);
	EXPECT_THROW(parse_channel_flag("a:stream:big"), std::system_error);
	EXPECT_EQ(parse_memory_flag("m:1M").spec.size[0], 1U << 20);
	EXPECT_THROW(parse_memory_flag("m"), std::system_error);
}

TEST_F(server_config_test, options_to_paste)
{
	const server_config config = load(head + "vectors = 6\n[[region.vm]]\nname = \"w\"\nsocket = \"/run/a,b'&\"\n");
	const std::string text = describe_vm_options(config);

	EXPECT_NE(text.find("path=/run/a,,b'&"), std::string::npos) << text;
	EXPECT_NE(text.find("vectors=6"), std::string::npos) << text;
	EXPECT_NE(text.find("<server path='/run/a,b&apos;&amp;'/>"), std::string::npos) << text;
	EXPECT_NE(text.find("<msi vectors='6'"), std::string::npos) << text;
	EXPECT_EQ(text.find("reconnect"), std::string::npos) << "QEMU hangs with it";
}

/* ---- reload ---- */

using server_reload = server_test;

TEST_F(server_reload, adds_removes_and_replaces_slots)
{
	region_.slots = {channel("stays"), channel("goes"), channel("grows")};
	start();
	ask({{"cmd", "add"}, {"name", "by-hand"}, {"size", "4K"}});
	const auto before = status();
	server_config wanted;

	EXPECT_THROW(ask({{"cmd", "reload"}}), std::system_error) << "there is no file to read";
	wanted.regions.push_back(region_);
	wanted.regions[0].slots = {channel("stays"), channel("grows"), channel("comes")};
	wanted.regions[0].slots[1].spec.size = {8192, 8192};
	stop();

	server_config first;

	first.regions.push_back(region_);
	server_ = std::make_unique<server>(first);
	server_->set_reload_source([wanted] { return wanted; });
	thread_ = std::thread{[this] { server_->run(); }};
	const auto old = status();

	ask({{"cmd", "add"}, {"name", "by-hand"}, {"size", "4K"}});
	ask({{"cmd", "reload"}});
	const auto now = status();
	std::map<std::string, nlohmann::json> slots;

	for (const auto &slot : now.at("slots"))
		slots[slot.at("name").get<std::string>()] = slot;
	EXPECT_EQ(slots.size(), 4U);
	EXPECT_FALSE(slots.contains("goes"));
	EXPECT_TRUE(slots.contains("comes"));
	EXPECT_TRUE(slots.contains("by-hand")) << "what was added at run time is not the file's to remove";
	EXPECT_EQ(slots["stays"].at("id"), old.at("slots").at(0).at("id")) << "an unchanged channel was replaced";
	EXPECT_NE(slots["grows"].at("id"), old.at("slots").at(2).at("id"));
	EXPECT_EQ(slots["grows"].at("sides").at(0).at("size"), 8192);
}

} // namespace
} // namespace kvmchan::testing
