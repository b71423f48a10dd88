// SPDX-License-Identifier: MIT
// Region memory, sizes, doorbells and side locks.
#include <cstring>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doorbell.hpp"
#include "manager_lock.hpp"
#include "memory.hpp"
#include "memory_size.hpp"
#include "side_lock.hpp"

namespace kvmchan {
namespace {

/* ---- sizes ---- */

TEST(memory_size, reads_what_people_write)
{
	EXPECT_EQ(parse_size("4096"), 4096U);
	EXPECT_EQ(parse_size("64K"), 65536U);
	EXPECT_EQ(parse_size("64k"), 65536U);
	EXPECT_EQ(parse_size("16M"), 16U << 20);
	EXPECT_EQ(parse_size("16MiB"), 16U << 20);
	EXPECT_EQ(parse_size("16MB"), 16U << 20);
	EXPECT_EQ(parse_size("10B"), 10U);
	EXPECT_EQ(parse_size("4G"), std::uint64_t{4} << 30) << "QEMU's server makes 1 byte of it";
	EXPECT_EQ(parse_size("5G"), std::uint64_t{5} << 30);
	EXPECT_EQ(parse_size("2T"), std::uint64_t{2} << 40);
}

TEST(memory_size, refuses_the_rest)
{
	for (const char *text : {"", "x", "-1", "+1", " 1", "1 ", "1.5G", "1X", "1KK", "1Ki", "1KiX", "0x10", "M"}) {
		std::error_code ec;

		parse_size(text, ec);
		if (std::string{text} == "1Ki")
			EXPECT_FALSE(ec) << text;
		else
			EXPECT_EQ(ec, std::errc::invalid_argument) << text;
	}
	for (const char *text : {"18446744073709551616", "9223372036854775808", "8E", "9000000T"}) {
		std::error_code ec;

		parse_size(text, ec);
		EXPECT_EQ(ec, std::errc::result_out_of_range) << text;
	}
}

TEST(memory_size, format_is_exact_and_comes_back)
{
	for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{4096}, std::uint64_t{4097},
	                                 std::uint64_t{1} << 30, std::uint64_t{5} << 30})
		EXPECT_EQ(parse_size(format_size(size)), size);
	EXPECT_EQ(format_size(16 << 20), "16M");
}

TEST(memory_size, region_sizes_are_qemus)
{
	EXPECT_TRUE(is_region_size(4096));
	EXPECT_TRUE(is_region_size(std::uint64_t{8} << 30));
	EXPECT_FALSE(is_region_size(0));
	EXPECT_FALSE(is_region_size(2048));
	EXPECT_FALSE(is_region_size(3 << 20));
}

/* ---- memory ---- */

TEST(memory, memfd_is_sealed_zeroed_and_shared)
{
	memory made = memory::create_memfd("test", 1 << 20);

	EXPECT_EQ(made.size(), 1U << 20);
	EXPECT_TRUE(made.sealed());
	EXPECT_TRUE(made.created());
	EXPECT_LT(::ftruncate(made.fd(), 0), 0);
	EXPECT_EQ(made.bytes()[4095], std::byte{0});
	EXPECT_EQ(::fcntl(made.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	const memory again = memory::adopt(unique_fd{::dup(made.fd())});

	made.bytes()[17] = std::byte{42};
	EXPECT_EQ(again.bytes()[17], std::byte{42});
	EXPECT_FALSE(again.created());
	EXPECT_TRUE(again.sealed());
}

TEST(memory, more_than_4G_is_possible)
{
	const memory made = memory::create_memfd("large", std::uint64_t{8} << 30);

	EXPECT_EQ(made.size(), std::uint64_t{8} << 30);
	made.bytes().back() = std::byte{1};
}

TEST(memory, size_that_is_no_power_of_two_is_refused)
{
	std::error_code ec;

	for (const std::uint64_t size : {0U, 1U, 2048U, 4097U, 3U << 20}) {
		memory::create_memfd("test", size, ec);
		EXPECT_EQ(ec, std::errc::invalid_argument) << size;
	}
	try {
		memory::create_memfd("test", 12345);
		ADD_FAILURE() << "no exception";
	} catch (const std::system_error &error) {
		EXPECT_NE(std::string{error.what()}.find("power of two"), std::string::npos) << error.what();
	}
}

TEST(memory, shm_by_name)
{
	const std::string name = "kvmchan-memory-" + std::to_string(::getpid());
	std::error_code ec;
	memory made = memory::create_shm(name, 1 << 20);

	EXPECT_TRUE(made.created());
	made.bytes()[5] = std::byte{7};

	const memory second = memory::create_shm(name, 1 << 20);

	EXPECT_FALSE(second.created());
	EXPECT_EQ(second.bytes()[5], std::byte{7});
	memory::create_shm(name, 2 << 20, ec);
	EXPECT_EQ(ec, std::errc::file_exists);
	EXPECT_EQ(memory::open_shm(name).size(), 1U << 20);
	memory::unlink_shm(name, ec);
	EXPECT_FALSE(ec);
	memory::open_shm(name, ec);
	EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
	for (const char *bad : {"", "/", "a/b", "../x"}) {
		memory::create_shm(bad, 1 << 20, ec);
		EXPECT_TRUE(ec) << bad;
	}
}

TEST(memory, file_and_directory)
{
	std::string directory = (std::filesystem::temp_directory_path() / "kvmchan-memory.XXXXXX").string();

	ASSERT_NE(::mkdtemp(directory.data()), nullptr);
	{
		const memory made = memory::create_file(directory + "/m", 1 << 20);
		const memory nameless = memory::create_in(directory, 1 << 20);

		EXPECT_EQ(memory::open_file(directory + "/m").size(), 1U << 20);
		EXPECT_EQ(std::distance(std::filesystem::directory_iterator{directory}, {}), 1);
	}
	std::error_code ec;

	ASSERT_EQ(::symlink("m", (directory + "/link").c_str()), 0);
	memory::create_file(directory + "/link", 1 << 20, ec);
	EXPECT_TRUE(ec) << "followed a link that somebody may have put there";
	memory::create_file(directory + "/none/m", 1 << 20, ec);
	EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
	std::filesystem::remove_all(directory);
}

TEST(memory, foreign_descriptor_of_another_kind_is_refused)
{
	std::error_code ec;
	int ends[2];

	memory::adopt(unique_fd{::eventfd(0, EFD_CLOEXEC)}, ec);
	EXPECT_TRUE(ec) << "an eventfd";
	ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
	memory::adopt(unique_fd{ends[0]}, ec);
	EXPECT_EQ(ec, std::errc::not_supported) << "a pipe";
	::close(ends[1]);
	memory::adopt(unique_fd{::open("/dev/zero", O_RDWR | O_CLOEXEC)}, ec);
	EXPECT_EQ(ec, std::errc::not_supported) << "a device";
	memory::adopt(unique_fd{::open("/tmp", O_RDONLY | O_CLOEXEC)}, ec);
	EXPECT_TRUE(ec) << "a directory";
	memory::adopt(unique_fd{}, ec);
	EXPECT_EQ(ec, std::errc::bad_file_descriptor);
	memory::adopt(unique_fd{::memfd_create("small", MFD_CLOEXEC)}, ec);
	EXPECT_EQ(ec, std::errc::invalid_argument) << "an empty one";

	const memory made = memory::create_memfd("test", 1 << 20);
	const std::string path = "/proc/self/fd/" + std::to_string(made.fd());

	memory::adopt(unique_fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, ec);
	EXPECT_EQ(ec, std::errc::permission_denied) << "one to read only";
}

/* ---- doorbells ---- */

TEST(doorbell, rings_and_drains)
{
	std::error_code ec;
	const unique_fd bell = make_doorbell(ec);

	ASSERT_FALSE(ec);
	EXPECT_FALSE(drain_doorbell(bell.get()));
	EXPECT_TRUE(ring_doorbell(bell.get()));
	EXPECT_TRUE(ring_doorbell(bell.get()));
	EXPECT_TRUE(drain_doorbell(bell.get()));
	EXPECT_FALSE(drain_doorbell(bell.get())) << "two rings are one";
}

/* A hostile holder cleared O_NONBLOCK and filled the counter. */
TEST(doorbell, saturated_and_blocking_does_not_hold_us_up)
{
	std::error_code ec;
	const unique_fd bell = make_doorbell(ec);
	const std::uint64_t full = UINT64_MAX - 1;

	ASSERT_EQ(::fcntl(bell.get(), F_SETFL, 0), 0);
	ASSERT_EQ(::write(bell.get(), &full, sizeof(full)), 8);
	::alarm(20);
	EXPECT_TRUE(ring_doorbell(bell.get()));
	EXPECT_TRUE(drain_doorbell(bell.get()));
	EXPECT_FALSE(drain_doorbell(bell.get())) << "nothing there, and no flag to say so";
	::alarm(0);
}

TEST(doorbell, knows_an_eventfd)
{
	std::error_code ec;
	const unique_fd bell = make_doorbell(ec);
	const memory made = memory::create_memfd("test", 4096);

	EXPECT_TRUE(is_doorbell(bell.get()));
	EXPECT_FALSE(is_doorbell(made.fd()));
	EXPECT_FALSE(is_doorbell(-1));
}

/* ---- locks ---- */

TEST(side_lock, excludes_and_shows)
{
	const memory made = memory::create_memfd("test", 1 << 20);
	std::error_code ec;
	side_lock mine = side_lock::acquire(made.fd(), 3, 1, ec);

	ASSERT_FALSE(ec) << ec.message();
	EXPECT_TRUE(side_lock::is_held(made.fd(), 3, 1, ec));
	EXPECT_FALSE(side_lock::is_held(made.fd(), 3, 0, ec));
	EXPECT_FALSE(side_lock::is_held(made.fd(), 4, 1, ec));
	EXPECT_FALSE(side_lock::is_held(made.fd(), 2, 1, ec));
	side_lock::acquire(made.fd(), 3, 1, ec);
	EXPECT_EQ(ec, std::errc::device_or_resource_busy);
	mine.release();
	EXPECT_FALSE(side_lock::is_held(made.fd(), 3, 1, ec));
	EXPECT_FALSE(ec);
}

TEST(side_lock, dies_with_its_process)
{
	const memory made = memory::create_memfd("test", 1 << 20);
	int ends[2];
	std::error_code ec;

	ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
	const pid_t child = ::fork();

	if (child == 0) {
		const side_lock theirs = side_lock::acquire(made.fd(), 0, 0, ec);

		if (!theirs || ::write(ends[1], "x", 1) != 1)
			::_exit(1);
		for (;;)
			::pause();
	}
	char byte = 0;

	ASSERT_EQ(::read(ends[0], &byte, 1), 1);
	EXPECT_TRUE(side_lock::is_held(made.fd(), 0, 0, ec));
	::kill(child, SIGKILL);
	::waitpid(child, nullptr, 0);
	EXPECT_FALSE(side_lock::is_held(made.fd(), 0, 0, ec));
	::close(ends[0]);
	::close(ends[1]);
}

TEST(manager_lock, is_one_and_no_side)
{
	const memory made = memory::create_memfd("test", 1 << 20);
	std::error_code ec;
	const manager_lock first = manager_lock::acquire(made.fd(), ec);

	ASSERT_FALSE(ec);
	manager_lock::acquire(made.fd(), ec);
	EXPECT_EQ(ec, std::errc::device_or_resource_busy);
	EXPECT_FALSE(side_lock::is_held(made.fd(), 0, 0, ec));
}

} // namespace
} // namespace kvmchan
