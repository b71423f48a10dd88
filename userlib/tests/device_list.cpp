// SPDX-License-Identifier: MIT
// Devices and nodes in a sysfs that the test makes up.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <gtest/gtest.h>

#include "device_list.hpp"
#include "device_raw.hpp"

namespace kvmchan::detail {
namespace {

namespace fs = std::filesystem;

class fake_sysfs : public testing::Test {
protected:
	fake_sysfs()
	{
		std::string name = (fs::temp_directory_path() / "kvmchan-sysfs.XXXXXX").string();

		if (!::mkdtemp(name.data()))
			throw std::system_error{errno, std::system_category(), name};
		root = name;
	}
	~fake_sysfs() override { fs::remove_all(root); }

	void write(const fs::path &file, const std::string &text)
	{
		fs::create_directories((root / file).parent_path());
		std::ofstream{root / file, std::ios::binary} << text;
	}

	fs::path add_device(const std::string &address, bool msix, std::size_t config_size = 256)
	{
		fs::path at = fs::path{"bus/pci/devices"} / address;
		std::string config(config_size, '\0');

		config[6] = 0x10;
		config[0x34] = 0x40;
		if (config_size > 64) {
			/* A capability of another kind first; it ends the list, or not. */
			config[0x40] = 0x05;
			config[0x41] = msix ? 0x50 : 0;
			config[0x50] = 0x11;
		}
		write(at / "vendor", "0x1af4\n");
		write(at / "device", "0x1110\n");
		write(at / "config", config);
		write(at / "resource", std::string{"0x00000000fe400000 0x00000000fe4000ff 0x0000000000040200\n"} +
		                               (msix ? "0x00000000fe401000 0x00000000fe401fff 0x0000000000040200\n"
		                                     : "0x0000000000000000 0x0000000000000000 0x0000000000000000\n") +
		                               "0x0000000800000000 0x0000000800ffffff 0x000000000014220c\n");
		return at;
	}

	fs::path root;
};

TEST_F(fake_sysfs, nothing)
{
	EXPECT_TRUE(list_devices(root).empty());
	EXPECT_TRUE(list_nodes(root).empty());
}

TEST_F(fake_sysfs, flavours)
{
	add_device("0000:00:04.0", true);
	add_device("0000:00:05.0", false);
	write("bus/pci/devices/0000:00:06.0/vendor", "0x1af4\n");
	write("bus/pci/devices/0000:00:06.0/device", "0x1000\n");
	const auto list = list_devices(root);

	ASSERT_EQ(list.size(), 2U);
	EXPECT_EQ(list[0].address, "0000:00:04.0");
	EXPECT_TRUE(list[0].doorbell);
	EXPECT_EQ(list[0].memory_size, 16U << 20);
	EXPECT_EQ(list[0].driver, "");
	EXPECT_FALSE(list[1].doorbell);
}

TEST_F(fake_sysfs, flavours_for_those_who_see_little)
{
	add_device("0000:00:04.0", true, 64);
	add_device("0000:00:05.0", false, 64);
	EXPECT_TRUE(find_device("0000:00:04.0", root)->doorbell);
	EXPECT_FALSE(find_device("0000:00:05.0", root)->doorbell);
}

TEST_F(fake_sysfs, capabilities_in_a_circle)
{
	const fs::path at = add_device("0000:00:04.0", true);
	std::string config(256, '\0');

	config[6] = 0x10;
	config[0x34] = 0x40;
	config[0x40] = 0x05;
	config[0x41] = 0x40;
	write(at / "config", config);
	EXPECT_FALSE(find_device("0000:00:04.0", root)->doorbell);
}

TEST_F(fake_sysfs, a_device_without_memory_or_with_a_driver)
{
	const fs::path at = add_device("0000:00:04.0", false);

	EXPECT_THROW(device_raw("0000:00:09.0", root), std::system_error);
	fs::create_symlink("../../../drivers/kvmchan", root / at / "driver");
	EXPECT_EQ(find_device("0000:00:04.0", root)->driver, "kvmchan");
	try {
		device_raw made{"0000:00:04.0", root};
		FAIL() << "it has a driver";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code().value(), EBUSY);
	}
	fs::remove(root / at / "driver");
	write(at / "resource", "garbage\n");
	try {
		device_raw made{"0000:00:04.0", root};
		FAIL() << "it has no memory";
	} catch (const std::system_error &error) {
		EXPECT_EQ(error.code().value(), ENXIO);
	}
}

TEST_F(fake_sysfs, nodes)
{
	const fs::path at = "class/kvmchan";

	write(at / "kvmchan10/name", "later\n");
	write(at / "kvmchan10/kind", "memory\n");
	write(at / "kvmchan2/name", "log\n");
	write(at / "kvmchan2/kind", "channel\n");
	write(at / "kvmchan2/mode", "packet\n");
	write(at / "kvmchan2/side", "1\n");
	write(at / "kvmchan2/state", "connected\n");
	write(at / "kvmchan2/rx_size", "4096\n");
	write(at / "kvmchan2/tx_size", "8192\n");
	write(at / "kvmchan2/peer", "3:1\n");
	write(at / "kvmchan2/statistics/rx_bytes", "12345678901234\n");
	write(at / "kvmchan2/statistics/interrupts", "not a number\n");
	const auto list = list_nodes(root);

	ASSERT_EQ(list.size(), 2U);
	EXPECT_EQ(list[0].node, "kvmchan2");
	EXPECT_EQ(list[0].name, "log");
	EXPECT_EQ(list[0].kind, 1U);
	EXPECT_EQ(list[0].mode, 1U);
	EXPECT_EQ(list[0].side, 1U);
	EXPECT_EQ(list[0].state, static_cast<std::uint32_t>(KVMCHAN_STATE_CONNECTED));
	EXPECT_EQ(list[0].rx_size, 4096U);
	EXPECT_EQ(list[0].tx_size, 8192U);
	EXPECT_EQ(list[0].peer, "3:1");
	EXPECT_EQ(list[0].counters.rx_bytes, 12345678901234U);
	EXPECT_EQ(list[0].counters.interrupts, 0U);
	EXPECT_EQ(list[1].node, "kvmchan10");
	EXPECT_EQ(list[1].kind, 2U);
}

} // namespace
} // namespace kvmchan::detail
