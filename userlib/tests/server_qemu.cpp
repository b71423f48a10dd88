// SPDX-License-Identifier: MIT
// Our server and a real QEMU. The guest never runs (-S): it is the device's
// set-up that talks to the server.
#include "server_process.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include "ivshmem_client.hpp"

namespace kvmchan::testing {
namespace {

using nlohmann::json;

/* QEMU's monitor: JSON lines, a greeting, then commands. */
class monitor {
public:
	explicit monitor(const std::filesystem::path &path)
	{
		sockaddr_un address{};

		fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		address.sun_family = AF_UNIX;
		std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
		if (::connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0)
			throw std::system_error{errno, std::system_category(), path.string()};
		line();
		command("qmp_capabilities");
	}
	monitor(const monitor &) = delete;
	monitor &operator=(const monitor &) = delete;
	~monitor() { ::close(fd_); }

	json command(const std::string &name, const json &arguments = json::object())
	{
		const std::string text = json{{"execute", name}, {"arguments", arguments}}.dump() + "\n";

		if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) < 0)
			throw std::system_error{errno, std::system_category(), name};
		for (;;) {
			json reply = json::parse(line());

			if (!reply.contains("event"))
				return reply;
			events_.push_back(reply["event"]);
		}
	}

	bool wait_event(const std::string &name)
	{
		for (;;) {
			if (std::erase(events_, name))
				return true;
			const json next = json::parse(line());

			if (next.contains("event"))
				events_.push_back(next["event"]);
		}
	}

private:
	std::string line()
	{
		std::string text;
		char c = 0;
		timeval limit{60, 0};

		::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		while (::recv(fd_, &c, 1, 0) == 1)
			if (c == '\n')
				return text;
			else
				text += c;
		throw std::runtime_error{"QEMU's monitor ended"};
	}

	int fd_ = -1;
	std::vector<std::string> events_;
};

class server_qemu : public server_test {
protected:
	void SetUp() override
	{
		if (std::system("command -v qemu-system-x86_64 >/dev/null") != 0)
			GTEST_SKIP() << "no qemu-system-x86_64";
		region_.vms = {vm("web", 1), vm("db", 2)};
	}

	std::vector<std::string> qemu(const std::string &name, unsigned vectors, bool plugged = true) const
	{
		std::vector<std::string> words{
			"qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-smp", "1,maxcpus=2", "-m", "64", "-S",
			"-nodefaults", "-no-user-config", "-display", "none",
			/* Native PCIe hotplug: a slot without power gives its device up at once. */
			"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
			"-device", "pcie-root-port,id=rp1,chassis=1,slot=1,pref64-reserve=64M",
			"-qmp", "unix:" + monitor_path(name) + ",server=on,wait=off",
			"-chardev", "socket,id=c,path=" + vm_socket(name).string()};

		if (plugged) {
			words.emplace_back("-device");
			words.push_back("ivshmem-doorbell,chardev=c,vectors=" + std::to_string(vectors));
		}
		return words;
	}

	std::string monitor_path(const std::string &name) const { return (directory_ / (name + ".qmp")).string(); }

	bool attached(const std::string &name) const
	{
		const json now = status();

		for (const auto &peer : now.at("peers"))
			if (peer.value("name", "") == name)
				return peer.at("connected").get<bool>() && peer.at("queued") == 0;
		return false;
	}

	/* The machine is set up once the monitor answers. */
	static std::string run_state(monitor &machine)
	{
		return machine.command("query-status").at("return").at("status").get<std::string>();
	}

	bool answers(const std::string &name, process &machine) const
	{
		return eventually([&] { return std::filesystem::exists(monitor_path(name)) || !machine.running(); }) &&
		       machine.running();
	}
};

TEST_F(server_qemu, vectors_1_2_8_32)
{
	for (const unsigned vectors : {1U, 2U, 8U, 32U}) {
		SCOPED_TRACE(vectors);
		region_.vectors = vectors;
		start();
		process web{qemu("web", vectors), directory_ / "log"};

		ASSERT_TRUE(eventually([&] { return attached("web") || !web.running(); }));
		ASSERT_TRUE(answers("web", web));
		monitor machine{monitor_path("web")};

		EXPECT_EQ(run_state(machine), "prelaunch");
		machine.command("quit");
		EXPECT_EQ(web.wait(), 0);
		EXPECT_TRUE(eventually([&] { return !attached("web"); }));
		std::filesystem::remove(monitor_path("web"));
		stop();
	}
}

TEST_F(server_qemu, killed_while_it_connects)
{
	region_.vectors = 32;
	start();
	for (int i = 0; i < 12; ++i) {
		process web{qemu("web", 32), directory_ / "log"};

		/* From before it has connected to after it has all. */
		std::this_thread::sleep_for(std::chrono::milliseconds{15 * i});
		web.signal(SIGKILL);
		web.wait();
	}
	std::filesystem::remove(monitor_path("web"));
	process web{qemu("web", 32), directory_ / "log"};

	ASSERT_TRUE(eventually([&] { return attached("web") || !web.running(); }));
	EXPECT_TRUE(web.running());
}

TEST_F(server_qemu, comes_back_under_its_id_while_another_lives)
{
	region_.vectors = 8;
	start();
	process db{qemu("db", 8), directory_ / "log"};

	ASSERT_TRUE(eventually([&] { return attached("db") || !db.running(); }));
	for (int i = 0; i < 4; ++i) {
		process web{qemu("web", 8), directory_ / "log"};

		ASSERT_TRUE(eventually([&] { return attached("web") || !web.running(); }));
		EXPECT_TRUE(web.running());
		web.signal(SIGKILL);
		web.wait();
	}
	/* This is what corrupts its heap, when a server tells it of departures. */
	for (int i = 0; i < 20; ++i) {
		const ivshmem_client visitor = ivshmem_client::connect(region_.socket, patience);

		EXPECT_EQ(visitor.vectors(), 8U);
	}
	ASSERT_TRUE(answers("db", db));
	monitor machine{monitor_path("db")};

	EXPECT_EQ(run_state(machine), "prelaunch");
	machine.command("quit");
	EXPECT_EQ(db.wait(), 0);
}

/* "device_del" after peers came and went ends a QEMU that was told of it. */
TEST_F(server_qemu, unplug_and_replug_after_peers_came_and_went)
{
	region_.vectors = 4;
	start();
	process web{qemu("web", 4), directory_ / "log"};

	ASSERT_TRUE(eventually([&] { return attached("web") || !web.running(); }));
	ASSERT_TRUE(answers("web", web));
	for (int i = 0; i < 10; ++i)
		ivshmem_client::connect(region_.socket, patience);
	monitor machine{monitor_path("web")};

	for (int round = 0; round < 2; ++round) {
		const std::string chardev = "hot" + std::to_string(round);
		const json added = machine.command(
			"chardev-add", {{"id", chardev},
		                        {"backend",
		                         {{"type", "socket"},
		                          {"data",
		                           {{"addr", {{"type", "unix"}, {"data", {{"path", vm_socket("db").string()}}}}},
		                            {"server", false}}}}}});

		ASSERT_TRUE(added.contains("return")) << added;
		const json plugged = machine.command("device_add", {{"driver", "ivshmem-doorbell"},
		                                                    {"id", "hot"},
		                                                    {"bus", "rp1"},
		                                                    {"chardev", chardev},
		                                                    {"vectors", 4}});

		ASSERT_TRUE(plugged.contains("return")) << plugged;
		EXPECT_TRUE(eventually([&] { return attached("db"); }));
		for (int i = 0; i < 3; ++i)
			ivshmem_client::connect(region_.socket, patience);
		EXPECT_EQ(run_state(machine), "prelaunch");
		/* The slot was empty at reset and so is without power: no guest is asked. */
		machine.command("device_del", {{"id", "hot"}});
		ASSERT_TRUE(machine.wait_event("DEVICE_DELETED"));
		machine.command("chardev-remove", {{"id", chardev}});
		EXPECT_TRUE(eventually([&] { return !attached("db"); }));
	}
	EXPECT_TRUE(web.running());
	EXPECT_EQ(run_state(machine), "prelaunch");
}

TEST_F(server_qemu, survives_the_servers_end)
{
	region_.vectors = 2;
	start();
	process web{qemu("web", 2), directory_ / "log"};

	ASSERT_TRUE(eventually([&] { return attached("web") || !web.running(); }));
	ASSERT_TRUE(answers("web", web));
	stop();
	monitor machine{monitor_path("web")};

	EXPECT_EQ(run_state(machine), "prelaunch");
}

} // namespace
} // namespace kvmchan::testing
