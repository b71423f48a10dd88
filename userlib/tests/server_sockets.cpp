// SPDX-License-Identifier: MIT
// Paths, locks, permissions, memory objects: what a server leaves alone.
#include "server_fixture.hpp"

#include <fstream>

#include <grp.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ivshmem_raw_client.hpp"
#include "memory.hpp"
#include "unix_socket.hpp"

namespace kvmchan::testing {
namespace {

class server_sockets : public server_test {
protected:
	/* A socket that nobody listens on any more, as a killed server leaves it. */
	void leave_stale(const std::filesystem::path &path)
	{
		sockaddr_un address{};
		const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);

		address.sun_family = AF_UNIX;
		std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
		ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
		ASSERT_EQ(::listen(fd, 1), 0);
		::close(fd);
		ASSERT_TRUE(std::filesystem::is_socket(path));
	}

	std::error_code refused()
	{
		server_config config;

		config.regions.push_back(region_);
		try {
			const server second{config};
		} catch (const std::system_error &error) {
			text_ = error.what();
			return error.code();
		}
		return {};
	}

	std::string text_;
};

TEST_F(server_sockets, stale_socket_is_replaced)
{
	leave_stale(region_.socket);
	start();
	raw_client client{region_.socket};

	EXPECT_EQ(client.take(5).size(), 5U);
}

TEST_F(server_sockets, second_server_is_refused_and_changes_nothing)
{
	start();
	EXPECT_EQ(refused(), std::errc::address_in_use);
	EXPECT_NE(text_.find(region_.socket.string()), std::string::npos) << text_;
	raw_client client{region_.socket};

	EXPECT_EQ(client.take(5).size(), 5U);
}

/* QEMU's server takes no lock, and does not survive a visit. */
TEST_F(server_sockets, foreign_live_server_is_refused_without_a_visit)
{
	sockaddr_un address{};
	const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sun_family = AF_UNIX;
	std::strncpy(address.sun_path, region_.socket.c_str(), sizeof(address.sun_path) - 1);
	ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
	ASSERT_EQ(::listen(fd, 1), 0);
	EXPECT_EQ(refused(), std::errc::address_in_use);
	EXPECT_LT(::accept(fd, nullptr, nullptr), 0) << "somebody connected";
	EXPECT_TRUE(std::filesystem::is_socket(region_.socket));
	::close(fd);
}

TEST_F(server_sockets, file_that_is_no_socket_stays)
{
	std::ofstream{region_.socket} << "precious";
	EXPECT_EQ(refused(), std::errc::file_exists);
	EXPECT_EQ(std::filesystem::file_size(region_.socket), 8U);
}

TEST_F(server_sockets, long_path_names_the_limit)
{
	region_.socket = directory_ / std::string(120, 'x');
	EXPECT_EQ(refused(), std::errc::filename_too_long);
	EXPECT_NE(text_.find("107"), std::string::npos) << text_;
}

TEST_F(server_sockets, end_removes_all_files)
{
	region_.vms = {vm("web", 1)};
	start();
	EXPECT_FALSE(std::filesystem::is_empty(directory_.path()));
	stop();
	for (const auto &left : std::filesystem::directory_iterator{directory_.path()})
		ADD_FAILURE() << left.path() << " was left";
}

TEST_F(server_sockets, mode_is_group_only)
{
	start();
	struct stat st {};

	ASSERT_EQ(::stat(region_.socket.c_str(), &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0660U);
}

TEST_F(server_sockets, stranger_is_refused)
{
	if (::geteuid() != 0)
		GTEST_SKIP() << "needs root to become another user";
	region_.mode = 0666;
	std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
	start();
	const pid_t child = ::fork();

	if (child == 0) {
		if (::setgroups(0, nullptr) || ::setgid(65534) || ::setuid(65534))
			::_exit(2);
		raw_client client{region_.socket};

		::_exit(client.ended() ? 0 : 1);
	}
	int status = 0;

	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

TEST_F(server_sockets, user_on_the_list_is_admitted)
{
	if (::geteuid() != 0)
		GTEST_SKIP() << "needs root to become another user";
	region_.mode = 0666;
	region_.allow_uids = {65534};
	std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
	start();
	const pid_t child = ::fork();

	if (child == 0) {
		if (::setgroups(0, nullptr) || ::setgid(65534) || ::setuid(65534))
			::_exit(2);
		raw_client client{region_.socket};

		::_exit(client.take(5).size() == 5 ? 0 : 1);
	}
	int status = 0;

	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

/* ---- memory objects ---- */

TEST_F(server_sockets, table_outlives_a_restart_on_a_file)
{
	region_.memory = memory_kind::file;
	region_.memory_name = (directory_ / "memory").string();
	region_.keep_memory = true;
	region_.slots = {channel("one")};
	start();
	ask({{"cmd", "add"}, {"name", "later"}, {"size", "4K"}});
	const auto before = status();

	stop();
	start();
	const auto after = status();

	EXPECT_EQ(before.at("incarnation"), after.at("incarnation"));
	ASSERT_EQ(after.at("slots").size(), 2U);
	EXPECT_EQ(after.at("slots").at(1).at("name"), "later");
	EXPECT_EQ(before.at("slots").at(0).at("id"), after.at("slots").at(0).at("id"));
}

TEST_F(server_sockets, memory_of_another_server_is_refused)
{
	region_.memory = memory_kind::shm;
	region_.memory_name = "kvmchan-test-" + std::to_string(::getpid());
	start();
	region_.socket = directory_ / "other";
	EXPECT_EQ(refused(), std::errc::device_or_resource_busy) << text_;
	EXPECT_TRUE(std::filesystem::exists("/dev/shm/" + region_.memory_name)) << "it took the other's memory away";
	region_.socket = directory_ / "s";
	stop();
	EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + region_.memory_name));
}

TEST_F(server_sockets, failed_start_leaves_no_memory_object)
{
	region_.memory = memory_kind::shm;
	region_.memory_name = "kvmchan-test-" + std::to_string(::getpid());
	region_.slots = {channel("bad name")};
	EXPECT_EQ(refused(), std::errc::invalid_argument);
	EXPECT_NE(text_.find("bad name"), std::string::npos) << text_;
	EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + region_.memory_name));
	for (const auto &left : std::filesystem::directory_iterator{directory_.path()})
		ADD_FAILURE() << left.path() << " was left";
}

TEST_F(server_sockets, object_of_another_size_is_refused)
{
	const std::filesystem::path file = directory_ / "memory";

	std::ofstream{file} << "x";
	region_.memory = memory_kind::file;
	region_.memory_name = file.string();
	EXPECT_EQ(refused(), std::errc::file_exists);
	EXPECT_EQ(std::filesystem::file_size(file), 1U);
}

/* Whoever may open it can do that; nobody can to a sealed one. */
TEST_F(server_sockets, truncated_memory_does_not_end_the_server)
{
	region_config other = region_;

	region_.memory = memory_kind::file;
	region_.memory_name = (directory_ / "memory").string();
	region_.slots = {channel("one")};
	other.name = "other";
	other.socket = directory_ / "other";
	other.slots = {channel("two")};
	server_config config;

	config.regions = {region_, other};
	server_ = std::make_unique<server>(config);
	thread_ = std::thread{[this] { server_->run(); }};
	const raw_client client{region_.socket};

	ASSERT_EQ(status().at("slots").size(), 1U);
	std::filesystem::resize_file(directory_ / "memory", 0);
	ask({{"cmd", "add"}, {"name", "three"}, {"size", "4K"}});
	EXPECT_EQ(control_request(control_path(other.socket), {{"cmd", "status"}}, patience).at("region").at("slots").size(),
	          1U);
	EXPECT_EQ(raw_client{other.socket}.take(5).size(), 5U);
}

TEST_F(server_sockets, raw_region_is_left_alone)
{
	region_.raw = true;
	start();
	raw_client client{region_.socket};
	const auto burst = client.take(3);

	ASSERT_EQ(burst.size(), 3U);
	void *const at = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, burst[2].fd, 0);

	ASSERT_NE(at, MAP_FAILED);
	const auto *bytes = static_cast<const unsigned char *>(at);

	EXPECT_TRUE(std::all_of(bytes, bytes + 4096, [](unsigned char b) { return b == 0; }));
	::munmap(at, 4096);
	EXPECT_THROW(ask({{"cmd", "add"}, {"name", "a"}}), std::system_error);
}

} // namespace
} // namespace kvmchan::testing
