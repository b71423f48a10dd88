// SPDX-License-Identifier: MIT
// Pages of a ring are mapped a little before they are used.
#include <cstdint>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "channel_fixture.hpp"
#include "prefault.hpp"
#include "unique_fd.hpp"

namespace kvmchan::test {
namespace {

using detail::prefault;

constexpr std::size_t page = 4096, ring = 1 << 20;

/* Is the page there, so that touching it is no fault? (Documentation/admin-guide/mm/pagemap.rst) */
bool present(const std::byte *at)
{
	static const unique_fd map{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
	const auto number = reinterpret_cast<std::uintptr_t>(at) / page;
	std::uint64_t entry = 0;

	EXPECT_EQ(::pread(map.get(), &entry, sizeof entry, static_cast<off_t>(number * sizeof entry)), ssize_t{sizeof entry});
	return entry >> 63;
}

/** A ring's memory that nobody has touched. */
class untouched {
public:
	untouched() : file_{::memfd_create("kvmchan-prefault", MFD_CLOEXEC)}
	{
		EXPECT_EQ(::ftruncate(file_.get(), ring), 0);
		data_ = ::mmap(nullptr, ring, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
		EXPECT_NE(data_, MAP_FAILED);
		::madvise(data_, ring, MADV_NOHUGEPAGE);
	}
	~untouched() { ::munmap(data_, ring); }
	untouched(const untouched &) = delete;
	untouched &operator=(const untouched &) = delete;

	std::span<std::byte> bytes() const { return {static_cast<std::byte *>(data_), ring}; }
	int fd() const { return file_.get(); }
	std::size_t pages(std::size_t from = 0, std::size_t size = ring) const
	{
		std::size_t there = 0;

		for (std::size_t at = from; at < from + size; at += page)
			there += present(bytes().data() + at);
		return there;
	}

private:
	unique_fd file_;
	void *data_;
};

TEST(prefault, leaves_a_ring_alone_that_is_hardly_used)
{
	const untouched memory;
	prefault ahead{prefault::access::write};

	ahead.restart(memory.bytes());
	for (std::uint64_t index = 7064; index < 7000 + prefault::first; index += 64)
		ahead.reach(index, 64);
	EXPECT_EQ(memory.pages(), 0U);
}

TEST(prefault, maps_what_comes_next)
{
	for (const auto how : {prefault::access::read, prefault::access::write}) {
		const untouched memory;
		prefault ahead{how};

		ahead.restart(memory.bytes());
		ahead.reach(8, 8);
		EXPECT_EQ(memory.pages(), 0U);
		ahead.reach(prefault::first, prefault::first - 8);
		EXPECT_EQ(memory.pages(page, 2 * prefault::piece), 2 * prefault::piece / page);
		EXPECT_EQ(memory.pages(), 2 * prefault::piece / page) << "and no more";
	}
}

TEST(prefault, stays_ahead_all_around)
{
	const untouched memory;
	prefault ahead{prefault::access::write};
	/* Anywhere, and over the end of the index's 64 bits. */
	const std::uint64_t start = UINT64_MAX - 3 * ring / 2 + 1;

	ahead.restart(memory.bytes());
	for (std::uint64_t way = 1500; way < ring; way += 1500) {
		ahead.reach(start + way, 1500);
		if (way >= prefault::first && way + prefault::piece < ring) {
			ASSERT_TRUE(present(memory.bytes().data() + (start + way + prefault::piece) % ring)) << way;
		}
	}
	EXPECT_EQ(memory.pages(), ring / page - 1) << "all but the first one, which was used";
}

TEST(prefault, begins_with_a_long_first_move)
{
	const untouched memory;
	prefault ahead{prefault::access::write};

	ahead.restart(memory.bytes());
	ahead.reach(prefault::piece, prefault::piece);
	EXPECT_EQ(memory.pages(prefault::piece, 2 * prefault::piece), 2 * prefault::piece / page);
}

TEST(prefault, goes_around_once)
{
	const untouched memory;
	prefault ahead{prefault::access::write};

	ahead.restart(memory.bytes());
	for (std::uint64_t index = prefault::piece; index <= ring; index += prefault::piece)
		ahead.reach(index, prefault::piece);
	ASSERT_EQ(::madvise(memory.bytes().data(), ring, MADV_DONTNEED), 0);
	for (std::uint64_t index = ring + page; index <= 3 * ring; index += page)
		ahead.reach(index, page);
	EXPECT_EQ(memory.pages(), 0U);
	ahead.restart(memory.bytes());
	ahead.reach(prefault::piece, prefault::piece);
	EXPECT_GT(memory.pages(), 0U) << "a new session, a new way around";
}

TEST(prefault, does_without_where_memory_is_gone)
{
	const untouched memory;
	prefault ahead{prefault::access::write};

	ASSERT_EQ(::ftruncate(memory.fd(), 0), 0);
	ahead.restart(memory.bytes());
	ahead.reach(2 * page, 2 * page);
	EXPECT_EQ(memory.pages(), 0U);
	ASSERT_EQ(::ftruncate(memory.fd(), ring), 0);
	for (std::uint64_t index = 3 * page; index <= ring; index += page)
		ahead.reach(index, page);
	EXPECT_EQ(memory.pages(), 0U) << "it has given up";
}

std::size_t kib_of(int fd)
{
	struct stat what;

	EXPECT_EQ(::fstat(fd, &what), 0);
	return static_cast<std::size_t>(what.st_blocks) / 2;
}

TEST(prefault, is_for_a_writer_that_copies)
{
	const test_region where{channel_mode::stream, ring};
	channel a = where.end(0), b = where.end(1);
	const std::vector<std::byte> some(page);
	const auto before = kib_of(where.fd());

	for (int i = 0; i < 3; ++i)
		a.write_all(some);
	EXPECT_GE(kib_of(where.fd()), before + prefault::piece / 1024);
}

TEST(prefault, is_for_windows)
{
	const test_region where{channel_mode::stream, ring};
	channel a = where.end(0), b = where.end(1);
	const auto to = a.reserve();

	for (std::size_t done = 0; done < 3 * page; done += page)
		a.commit(page);
	EXPECT_TRUE(present(to.data() + prefault::piece));

	const auto from = b.peek();

	for (std::size_t done = 0; done < 3 * page; done += page)
		b.consume(page);
	EXPECT_TRUE(present(from.data() + prefault::piece));
}

/* Who has windows copies there, too: one mapping is used, and one mapped ahead. */
TEST(prefault, is_for_copies_beside_windows)
{
	const test_region where{channel_mode::stream, ring};
	channel a = where.end(0), b = where.end(1);
	std::vector<std::byte> some(page);
	const auto to = a.reserve();

	for (int i = 0; i < 3; ++i)
		a.write_all(some);
	EXPECT_TRUE(present(to.data() + page)) << "written";
	EXPECT_TRUE(present(to.data() + prefault::piece)) << "ahead";

	const auto from = b.peek();

	for (int i = 0; i < 3; ++i)
		ASSERT_EQ(b.read_some(some), page);
	EXPECT_TRUE(present(from.data() + prefault::piece)) << "ahead";
}

} // namespace
} // namespace kvmchan::test
