// SPDX-License-Identifier: MIT
/*
 * The table changes while the nodes are in use. The manager is here, on the
 * raw memory of a device without driver; nobody rings, the module looks by
 * itself.
 */
#include "blocked_thread.hpp"
#include "manager.hpp"
#include "mapped_end.hpp"
#include "raw_region.hpp"

#include <atomic>
#include <csetjmp>
#include <optional>
#include <thread>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

using namespace node;
using kvmchan::manager;
using kvmchan::slot_spec;

slot_spec channel(std::string name, std::uint64_t size = 4096)
{
	return {.name = std::move(name), .side = {KVMCHAN_PEER_ANY, KVMCHAN_PEER_ANY}, .size = {size, size}};
}

slot_spec block(std::string name, std::uint64_t size)
{
	auto s = channel(std::move(name), size);
	s.kind = KVMCHAN_KIND_MEMORY;
	s.size[1] = 0;
	return s;
}

std::size_t nodes()
{
	std::error_code ec;
	std::size_t count = 0;
	for ([[maybe_unused]] const auto &entry : std::filesystem::directory_iterator{"/sys/class/kvmchan", ec})
		++count;
	return count;
}

class table_changes : public ::testing::Test {
protected:
	void SetUp() override
	{
		table.emplace(manager::format(raw.bytes(), {.slots = 600}));
		table->add(channel("stays"));
		// Those of the former region do not count.
		for (const unsigned side : {0U, 1U})
			ASSERT_TRUE(eventually([&] { return is_of_this_region(try_side("stays", side)); }));
		ASSERT_TRUE(eventually([] { return nodes() == 2; }));
	}
	bool is_of_this_region(const unique_fd &fd) const
	{
		kvmchan_info i{};
		return fd && ::ioctl(fd.get(), KVMCHAN_IOC_INFO, &i) == 0 &&
		       std::memcmp(i.incarnation, table->incarnation().data(), sizeof(i.incarnation)) == 0;
	}
	bool vanishes(const char *name) const
	{
		return eventually([&] { return find(name, 0).empty() && find(name, 1).empty(); });
	}
	void expect_stays()
	{
		const auto p = connect("stays");
		write_all(p.a, "stays");
		EXPECT_EQ(read_all(p.b, 5), "stays");
	}

	raw_region raw;
	std::optional<manager> table;
};

/* Each device sees the change in its own time. */
void expect_gone(const unique_fd &fd)
{
	char c = 'x';
	EXPECT_TRUE(eventually([&] { return ::read(fd.get(), &c, 1) < 0 && errno == ENODEV; }));
	EXPECT_EQ(::write(fd.get(), &c, 1), -1);
	EXPECT_EQ(errno, ENODEV);
	kvmchan_info i;
	EXPECT_EQ(::ioctl(fd.get(), KVMCHAN_IOC_INFO, &i), -1);
	EXPECT_EQ(errno, ENODEV);
	EXPECT_EQ(::ioctl(fd.get(), KVMCHAN_IOC_RECONNECT), -1);
	EXPECT_EQ(errno, ENODEV);
	EXPECT_TRUE(ready(fd) & POLLHUP);
	EXPECT_TRUE(ready(fd) & POLLERR);
}

TEST_F(table_changes, bring_a_node_and_take_it_away)
{
	table->add(channel("comes"));
	{
		auto p = connect("comes");
		write_all(p.a, "hello");
		EXPECT_EQ(read_all(p.b, 5), "hello");
		const auto node = device("comes", 0);
		table->remove("comes");
		ASSERT_TRUE(vanishes("comes"));
		expect_gone(p.a);
		expect_gone(p.b);
		EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(node); }));
	}
	expect_stays();
}

TEST_F(table_changes, wake_all_who_sleep_on_a_node_that_goes)
{
	table->add(channel("comes"));
	const auto a = open_side("comes", 0, O_RDWR);
	std::string text;
	ssize_t read_result = 0, write_result = 0;
	int read_error = 0, write_error = 0;
	short polled = 0;
	write(a, bytes(4096));
	blocked_thread reader{[&] {
		read_result = read(a, text);
		read_error = errno;
	}};
	blocked_thread writer{[&] {
		write_result = write(a, "more");
		write_error = errno;
	}};
	blocked_thread poller{[&] { polled = await(a, POLLIN); }};
	ASSERT_TRUE(reader.in(SYS_read));
	ASSERT_TRUE(writer.in(SYS_write));
	ASSERT_TRUE(poller.in(poll_call));
	table->remove("comes");
	reader.join();
	writer.join();
	poller.join();
	EXPECT_EQ(read_result, -1);
	EXPECT_EQ(read_error, ENODEV);
	EXPECT_EQ(write_result, -1);
	EXPECT_EQ(write_error, ENODEV);
	EXPECT_EQ(polled & (POLLHUP | POLLERR), POLLHUP | POLLERR);
}

/* They may be another channel's, also before the driver has heard of it. */
TEST_F(table_changes, leave_the_pages_of_a_slot_that_is_gone_alone)
{
	table->add(channel("comes"));
	auto p = connect("comes");
	p.b.reset();
	const auto node = device("comes", 1);
	const std::array<kvmchan_session_page *, 2> pages{&raw.session("comes", 0), &raw.session("comes", 1)};
	const auto links = [&] { return std::array{kvmchan_load(&pages[0]->link), kvmchan_load(&pages[1]->link)}; };
	table->remove("comes");
	const auto then = links();
	EXPECT_FALSE(unique_fd{::open(node.c_str(), nonblocking | O_CLOEXEC)});
	p.a.reset();
	EXPECT_EQ(links(), then) << "by those who opened and closed";
	ASSERT_TRUE(vanishes("comes"));
	EXPECT_EQ(links(), then) << "by the driver when it heard";
	EXPECT_TRUE(then[0] & KVMCHAN_LINK_OPEN);
}

TEST_F(table_changes, show_nothing_more_of_a_block_that_is_gone)
{
	table->add(block("comes", 4096));
	{
		const auto old = device("comes", 0);
		const auto fd = open_side("comes", 0, O_RDWR);
		void *const at = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd.get(), 0);
		ASSERT_NE(at, MAP_FAILED);
		table->remove("comes");
		// Most likely the driver has not heard of it; nobody has touched the page.
		EXPECT_FALSE(unique_fd{::open(old.c_str(), O_RDWR | O_CLOEXEC)});
		const unique_fd sink{::open("/tmp/sink", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
		EXPECT_EQ(::write(sink.get(), at, 1), -1) << "there was a page";
		EXPECT_EQ(errno, EFAULT);
		::munmap(at, 4096);
	}
	ASSERT_TRUE(vanishes("comes"));
}

TEST_F(table_changes, take_mapped_memory_away)
{
	table->add(block("memory", 65536));
	const auto a = open_side("memory", 0), b = open_side("memory", 1);
	void *at = ::mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, a.get(), 0);
	ASSERT_NE(at, MAP_FAILED);
	auto *const bytes = static_cast<volatile char *>(at);
	bytes[100] = 1;
	int error = 0;
	blocked_thread waiter{[&] {
		kvmchan_wait w{0, -1};
		if (::ioctl(b.get(), KVMCHAN_IOC_WAIT, &w) != 0)
			error = errno;
	}};
	ASSERT_TRUE(waiter.in(SYS_ioctl));
	table->remove("memory");
	waiter.join();
	EXPECT_EQ(error, ENODEV);
	ASSERT_TRUE(vanishes("memory"));
	const pid_t child = ::fork();
	if (child == 0) {
		::signal(SIGBUS, SIG_DFL);
		bytes[100] = 2;
		::_exit(0);
	}
	int status = 0;
	ASSERT_EQ(::waitpid(child, &status, 0), child);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
	::munmap(at, 65536);
}

sigjmp_buf bus_error;

/* Is a byte at this address out of reach? */
bool is_gone(std::byte *at)
{
	struct sigaction act {}, was {};
	act.sa_handler = [](int) { siglongjmp(bus_error, 1); };
	::sigaction(SIGBUS, &act, &was);
	volatile bool gone = true;
	if (sigsetjmp(bus_error, 1) == 0) {
		*const_cast<volatile std::byte *>(at) = std::byte{1};
		gone = false;
	}
	::sigaction(SIGBUS, &was, nullptr);
	return gone;
}

TEST_F(table_changes, take_mapped_rings_away)
{
	table->add(channel("rings", 8192));
	mapped_end a{"rings", 0};
	a.write(bytes(8192));
	int error = 0;
	blocked_thread waiter{[&] {
		auto r = asking(1, 1, -1);
		error = ::ioctl(a.fd().get(), KVMCHAN_IOC_RINGS, &r) == 0 ? 0 : errno;
	}};
	ASSERT_TRUE(waiter.in(SYS_ioctl));
	EXPECT_FALSE(is_gone(a.tx_view().data()));
	table->remove("rings");
	waiter.join();
	EXPECT_EQ(error, ENODEV);
	ASSERT_TRUE(vanishes("rings"));
	EXPECT_TRUE(eventually([&] { return is_gone(a.tx_view().data()); }));
	EXPECT_TRUE(is_gone(a.tx_view().data() + 8192)) << "in its second showing";
	EXPECT_TRUE(is_gone(reinterpret_cast<std::byte *>(&a.own())));
	EXPECT_EQ(::ioctl(a.fd().get(), KVMCHAN_IOC_KICK, KVMCHAN_RING_TX), -1);
	EXPECT_EQ(errno, ENODEV);
	// Its memory is another channel's now.
	table->add(channel("other", 8192));
	const auto p = connect("other");
	write_all(p.a, "not disturbed");
	EXPECT_EQ(read_all(p.b, 13), "not disturbed");
}

TEST_F(table_changes, do_not_revive_a_file_by_the_same_name)
{
	table->add(channel("again"));
	const auto p = connect("again");
	table->remove("again");
	table->add(channel("again"));
	expect_gone(p.a);
	expect_gone(p.b);
	const auto q = connect("again");
	write_all(q.a, "new");
	EXPECT_EQ(read_all(q.b, 3), "new");
}

TEST_F(table_changes, of_the_whole_region_end_everything)
{
	const auto p = connect("stays");
	const auto incarnation = info(p.a).incarnation[0];
	table.emplace(manager::format(raw.bytes(), {.slots = 600}));
	table->add(channel("stays"));
	// Each device looks for itself.
	for (const auto *end : {&p.a, &p.b})
		ASSERT_TRUE(eventually([&] {
			char c;
			return ::read(end->get(), &c, 1) < 0 && errno == ENODEV;
		}));
	expect_gone(p.b);
	expect_stays();
	EXPECT_TRUE(is_of_this_region(open_side("stays", 0))) << int{incarnation};
}

TEST_F(table_changes, wait_for_the_managers_end)
{
	auto &sb = raw.superblock();
	const auto generation = peek(sb.generation);
	poke(sb.generation, generation + 1);
	auto &slot = raw.slot("stays");
	const auto kind = slot.kind;
	slot.kind = KVMCHAN_KIND_FREE;
	std::this_thread::sleep_for(1s);
	EXPECT_FALSE(find("stays", 0).empty()) << "half a change was taken for a whole one";
	slot.kind = kind;
	poke(sb.generation, generation + 2);
	expect_stays();
}

TEST_F(table_changes, that_break_the_superblock_leave_nothing_until_it_is_mended)
{
	auto &sb = raw.superblock();
	const auto good = sb;
	const auto broken_by = [&](auto change) {
		change(sb);
		poke(sb.generation, peek(sb.generation) + 2);
		EXPECT_TRUE(eventually([] { return nodes() == 0; }));
		auto mended = good;
		mended.generation = peek(sb.generation) + 2;
		sb = mended;
		EXPECT_TRUE(eventually([] { return nodes() == 2; }));
	};
	broken_by([](kvmchan_superblock &s) { s.magic = 0; });
	broken_by([](kvmchan_superblock &s) { s.major = 2; });
	broken_by([](kvmchan_superblock &s) { s.size = ~0ULL; });
	broken_by([](kvmchan_superblock &s) { s.slot_count = 0; });
	broken_by([](kvmchan_superblock &s) { s.slot_count = 4097; });
	broken_by([](kvmchan_superblock &s) { s.slot_size = 255; });
	broken_by([](kvmchan_superblock &s) { s.table_offset = s.size - 4096; });
	broken_by([](kvmchan_superblock &s) { s.table_offset = 4097; });
	expect_stays();
}

struct bad_slot {
	const char *why;
	void (*change)(kvmchan_slot &slot, const kvmchan_slot &other);
};

void PrintTo(const bad_slot &b, std::ostream *out)
{
	*out << b.why;
}

class bad_slots : public table_changes, public ::testing::WithParamInterface<bad_slot> {};

TEST_P(bad_slots, are_left_out_with_a_message)
{
	table->add(channel("spoilt"));
	table->add(channel("other"));
	sysfs("spoilt", 1);
	sysfs("other", 1);
	auto &slot = raw.slot("spoilt");
	GetParam().change(slot, raw.slot("other"));
	poke(raw.superblock().generation, peek(raw.superblock().generation) + 2);
	ASSERT_TRUE(vanishes("spoilt"));
	EXPECT_TRUE(eventually([] { return logged(GetParam().why); })) << GetParam().why;
	expect_stays();
}

INSTANTIATE_TEST_SUITE_P(
	table, bad_slots,
	::testing::Values(
		bad_slot{"left out: unknown kind", [](kvmchan_slot &s, const kvmchan_slot &) { s.kind = 7; }},
		bad_slot{"left out: unknown mode", [](kvmchan_slot &s, const kvmchan_slot &) { s.mode = 2; }},
		bad_slot{"left out: bad name", [](kvmchan_slot &s, const kvmchan_slot &) { s.name[0] = '/'; }},
		bad_slot{"left out: a side is neither", [](kvmchan_slot &s, const kvmchan_slot &) { s.side[0] = 0x10000; }},
		bad_slot{"left out: both sides are the same",
	                 [](kvmchan_slot &s, const kvmchan_slot &) { s.side[0] = s.side[1] = 3; }},
		bad_slot{"left out: ring size is not",
	                 [](kvmchan_slot &s, const kvmchan_slot &) { s.data_size[0] = 3 * 4096; }},
		bad_slot{"left out: control pages are not",
	                 [](kvmchan_slot &s, const kvmchan_slot &) { s.control = ~0ULL - 4095; }},
		bad_slot{"left out: data of side 0 is not", [](kvmchan_slot &s, const kvmchan_slot &) { s.data[0] += 8; }},
		bad_slot{"left out: data of side 1 is not", [](kvmchan_slot &s, const kvmchan_slot &) { s.data[1] = 0; }},
		bad_slot{"left out: overlaps another slot",
	                 [](kvmchan_slot &s, const kvmchan_slot &o) { s.data[0] = o.data[0]; }},
		bad_slot{"left out: overlaps the table",
	                 [](kvmchan_slot &s, const kvmchan_slot &) { s.data[0] = 4096; }}));

TEST_F(table_changes, may_bring_256_channels)
{
	constexpr int count = 256;
	for (int i = 0; i < count; ++i)
		table->add(channel("c" + std::to_string(i)));
	ASSERT_TRUE(eventually([] { return nodes() == 2 * (count + 1); })) << nodes();
	for (int i = 0; i < count; i += 5) {
		const auto p = connect("c" + std::to_string(i));
		const auto text = "number " + std::to_string(i);
		write_all(p.a, text);
		EXPECT_EQ(read_all(p.b, text.size()), text);
	}
}

/* Nodes come and go under those who open them. */
TEST_F(table_changes, race_with_those_who_open)
{
	std::atomic<bool> stop = false;
	std::vector<std::thread> users;
	for (const unsigned side : {0U, 1U})
		users.emplace_back([&, side] {
			std::string text;
			while (!stop) {
				const auto path = find("busy", side);
				if (path.empty())
					continue;
				const unique_fd fd{::open(("/dev" / path.filename()).c_str(), nonblocking | O_CLOEXEC)};
				for (int i = 0; fd && i < 5; ++i) {
					write(fd, "data");
					read(fd, text, 100);
				}
			}
		});
	for (int i = 0; i < 5; ++i) {
		table->add(channel("busy"));
		ASSERT_TRUE(eventually([] { return !find("busy", 0).empty() && !find("busy", 1).empty(); }));
		table->remove("busy");
		ASSERT_TRUE(vanishes("busy"));
	}
	stop = true;
	for (auto &each : users)
		each.join();
	expect_stays();
}

} // namespace
