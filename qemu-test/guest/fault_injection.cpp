// SPDX-License-Identifier: MIT
/*
 * Every allocation, and every copy from and to user memory, that an operation
 * makes fails in turn. Whatever the operation says then, the next one works,
 * and nothing is lost. For kernels with CONFIG_FAULT_INJECTION; which sites of
 * the module failed is in the kernel log.
 */
#include "node.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

namespace {

using namespace node;
namespace fs = std::filesystem;

const fs::path driver = "/sys/bus/pci/drivers/kvmchan";
/** More than any operation makes. */
constexpr unsigned most = 2000;

/**
 * The kernel's counter of a task: when it comes to 0, what the task asks for
 * fails. See Documentation/fault-injection/fault-injection.rst.
 */
class fail_nth {
public:
	explicit fail_nth(const fs::path &task = "/proc/thread-self")
	    : fd_{::open((task / "fail-nth").c_str(), O_RDWR | O_CLOEXEC)}
	{
	}
	explicit operator bool() const { return static_cast<bool>(fd_); }

	/* What sets it may be what fails. */
	void set(unsigned n) const
	{
		char text[16];
		const int length = std::snprintf(text, sizeof(text), "%u", n);
		for (int i = 0; ::pwrite(fd_.get(), text, static_cast<std::size_t>(length), 0) < 0 && i < 10;)
			++i;
	}
	/** How many are left until one fails; 0 when it has. What asks for it may be what fails. */
	unsigned left() const
	{
		char text[16] = "1";
		[[maybe_unused]] const auto n = ::pread(fd_.get(), text, sizeof(text) - 1, 0);
		return static_cast<unsigned>(std::atoi(text));
	}
	/** Did it come to 0 since it was set? Ends that. */
	bool happened() const
	{
		const bool failed = left() == 0;
		set(0);
		return failed;
	}

private:
	unique_fd fd_;
};

void make_all_fail()
{
	const fs::path debug = "/sys/kernel/debug";
	for (const char *kind : {"failslab", "fail_page_alloc", "fail_usercopy"}) {
		// Also those that may wait for memory.
		std::ofstream{debug / kind / "ignore-gfp-wait"} << 'N';
		std::ofstream{debug / kind / "min-order"} << 0;
	}
}

class fault_injection : public ::testing::Test {
protected:
	void SetUp() override
	{
		if (!fs::exists("/sys/kernel/debug/failslab"))
			GTEST_SKIP() << "this kernel cannot fail on demand: see scripts/kernel-matrix";
		make_all_fail();
	}

	/** Runs it, from failure @p first, until nothing in it fails any more; @p mend comes after each. */
	template <typename Operation, typename Mend>
	void sweep(const char *what, Operation operation, Mend mend, unsigned first = 1)
	{
		const fail_nth nth;
		unsigned n = first;
		for (; n < most; ++n) {
			nth.set(n);
			operation();
			const bool again = nth.happened();
			mend();
			if (!again || HasFailure())
				break;
		}
		std::printf("%-24s %4u failures\n", what, n - first);
		EXPECT_GT(n, first) << what << " asks for nothing that could fail";
		EXPECT_LT(n, most);
	}
	template <typename Operation>
	void sweep(const char *what, Operation operation)
	{
		sweep(what, operation, [] {});
	}
};

std::vector<std::string> devices()
{
	std::vector<std::string> found;
	for (const auto &each : fs::directory_iterator{"/sys/bus/pci/devices"}) {
		if (first_line(each.path() / "vendor") == "0x1af4" && first_line(each.path() / "device") == "0x1110")
			found.push_back(each.path().filename());
	}
	std::ranges::sort(found);
	return found;
}

bool is_bound(const std::string &device)
{
	return fs::exists(driver / device);
}

bool tell(const fs::path &file, std::string_view what)
{
	const unique_fd fd{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
	return fd && ::write(fd.get(), what.data(), what.size()) > 0;
}

/* Without the driver's promise that all channels have nodes by then. */
void bind(const std::string &device)
{
	if (!is_bound(device)) {
		EXPECT_TRUE(tell(driver / "bind", device)) << std::strerror(errno);
	}
	tell(driver / device / "ivshmem/prefer_side", device == devices().front() ? "0" : "1");
}

void unbind(const std::string &device)
{
	if (is_bound(device)) {
		EXPECT_TRUE(tell(driver / "unbind", device)) << std::strerror(errno);
	}
}

class loader {
public:
	loader() { EXPECT_TRUE(module_); }
	loader(const loader &) = delete;
	loader &operator=(const loader &) = delete;

	bool load(const char *parameters = "")
	{
		return loaded_ = ::syscall(SYS_finit_module, module_.get(), parameters, 0) == 0;
	}
	void unload()
	{
		if (loaded_) {
			EXPECT_EQ(::syscall(SYS_delete_module, "kvmchan", O_NONBLOCK), 0);
		}
		loaded_ = false;
	}

	/*
	 * What the kernel asks for before the module's own work begins, or a little
	 * less: it reads a module's parameters when nearly all else is done.
	 */
	unsigned kernels_own()
	{
		constexpr unsigned plenty = 100'000;
		const fail_nth nth;
		nth.set(plenty);
		const bool loaded = load("side=none");
		const unsigned left = nth.left();
		nth.set(0);
		EXPECT_FALSE(loaded);
		unload();
		return plenty - left;
	}

private:
	unique_fd module_{::open("/lib/modules/kvmchan.ko", O_RDONLY | O_CLOEXEC)};
	bool loaded_ = false;
};

/*
 * How often the kernel itself asks in these differs from time to time, so that
 * a call may be passed over: twice.
 */
constexpr int passes = 2;

/* Of the driver alone: no device is bound. */
TEST_F(fault_injection, of_loading_leaves_nothing)
{
	constexpr const char *autoprobe = "/sys/bus/pci/drivers_autoprobe";
	ASSERT_EQ(::syscall(SYS_delete_module, "kvmchan", O_NONBLOCK), 0);
	ASSERT_TRUE(tell(autoprobe, "0"));
	loader module;
	const unsigned before = module.kernels_own();
	ASSERT_GT(before, 1U);
	ASSERT_LT(before, most);
	std::printf("%-24s %4u before the module's own\n", "load", before);
	for (int i = 0; i < passes; ++i)
		sweep("load", [&] { module.load(); }, [&] { module.unload(); }, before);
	ASSERT_TRUE(tell(autoprobe, "1"));
	ASSERT_TRUE(module.load());
	for (const auto &each : devices())
		bind(each);
	expect_works("small");
}

TEST_F(fault_injection, of_binding_is_undone)
{
	const auto device = devices().front();
	unbind(device);
	const unique_fd file{::open((driver / "bind").c_str(), O_WRONLY | O_CLOEXEC)};
	for (int i = 0; i < passes; ++i) {
		sweep(
			"bind", [&] { [[maybe_unused]] const auto n = write(file, device); },
			[&] { unbind(device); });
	}
	bind(device);
	expect_works("small");
}

TEST_F(fault_injection, of_unbinding_does_not_stop_it)
{
	const auto device = devices().back();
	const unique_fd file{::open((driver / "unbind").c_str(), O_WRONLY | O_CLOEXEC)};
	sweep(
		"unbind", [&] { [[maybe_unused]] const auto n = write(file, device); },
		[&] { bind(device); });
	expect_works("small");
}

std::ptrdiff_t nodes()
{
	return std::distance(fs::directory_iterator{"/sys/class/kvmchan"}, fs::directory_iterator{});
}

/* Nodes are made by workers of the kernel. */
class workers {
public:
	workers()
	{
		for (const auto &each : fs::directory_iterator{"/proc"}) {
			if (first_line(each.path() / "comm").starts_with("kworker/"))
				all_.emplace_back(each.path());
		}
	}
	void set(unsigned n) const
	{
		for (const auto &each : all_) {
			if (each)
				each.set(n);
		}
	}

private:
	std::vector<fail_nth> all_;
};

TEST_F(fault_injection, of_making_nodes_is_made_good)
{
	const auto device = devices().front();
	for (unsigned n = 1; n < amount("worker_faults", 250) && !HasFailure(); ++n) {
		unbind(device);
		const workers all;
		all.set(n);
		EXPECT_TRUE(tell(driver / "bind", device));
		tell(driver / device / "ivshmem/rescan", "1");
		all.set(0);
		bind(device);
		// All of them, at the latest with the next look at the table.
		for (const char *name : {"stream", "small", "asym", "packet4k", "block"})
			EXPECT_FALSE(sysfs(name, 0).empty() && sysfs(name, 1).empty());
		ASSERT_TRUE(eventually([] { return nodes() == 10; })) << "after failure " << n << " of a worker a node is missing";
	}
	bind(device);
	expect_works("small");
}

/*
 * Workers get nothing from the caches that slub_debug=A of the kernel's command
 * line names. What asks once in passing, and with patience after that, fails for
 * good only so.
 */
class failing_caches {
public:
	failing_caches() { set("1"); }
	failing_caches(const failing_caches &) = delete;
	failing_caches &operator=(const failing_caches &) = delete;
	~failing_caches() { set("0"); }

private:
	static void set(std::string_view on)
	{
		const fs::path failslab = "/sys/kernel/debug/failslab";
		EXPECT_TRUE(tell(failslab / "cache-filter", "1"));
		EXPECT_TRUE(tell(failslab / "task-filter", "1"));
		EXPECT_TRUE(tell(failslab / "times", "-1"));
		// New workers have it from kthreadd.
		for (const auto &each : fs::directory_iterator{"/proc"}) {
			const auto name = first_line(each.path() / "comm");
			if (name == "kthreadd" || name.starts_with("kworker/"))
				tell(each.path() / "make-it-fail", on);
		}
		EXPECT_TRUE(tell(failslab / "probability", on == "1" ? "100" : "0"));
	}
};

/*
 * A device's table of channels holds one without asking for memory, and the
 * count of all nodes 63: what would come after them is missing, and is made good.
 */
TEST_F(fault_injection, of_what_a_crowd_needs_is_made_good)
{
	const auto first = devices().front(), second = devices().back();
	ASSERT_EQ(nodes(), 2 * 63);
	unbind(first);
	unbind(second);
	{
		const failing_caches failing;
		bind(first);
		EXPECT_EQ(nodes(), 1);
	}
	EXPECT_TRUE(eventually([] { return nodes() == 63; })) << nodes();
	{
		const failing_caches failing;
		bind(second);
		EXPECT_EQ(nodes(), 63);
	}
	EXPECT_TRUE(eventually([] { return nodes() == 2 * 63; })) << nodes();
	expect_works("many0");
}

TEST_F(fault_injection, of_opening_leaves_it_free)
{
	const auto path = device("small", 0);
	unique_fd fd;
	sweep(
		"open", [&] { fd.reset(::open(path.c_str(), nonblocking)); },
		[&] {
			fd.reset();
			EXPECT_TRUE(try_side("small", 0)) << std::strerror(errno);
		});
	expect_works("small");
}

class faulty_transfer : public fault_injection, public ::testing::WithParamInterface<const char *> {};

TEST_P(faulty_transfer, of_any_kind_loses_nothing)
{
	const char *name = GetParam();
	const auto p = connect(name);
	const auto sent = bytes(300);
	std::string got(300, '\0');
	std::array<iovec, 2> halves{iovec{got.data(), 100}, iovec{got.data() + 100, 200}};
	ssize_t n = -1;
	// What was taken comes out again, whatever failed after it.
	sweep(
		"write", [&] { n = ::write(p.a.get(), sent.data(), sent.size()); },
		[&] {
			if (n > 0) {
				EXPECT_EQ(read_all(p.b, static_cast<std::size_t>(n)), sent.substr(0, static_cast<std::size_t>(n)));
			}
			EXPECT_EQ(info(p.b).rx_ready, 0U);
		});
	write_all(p.a, sent);
	std::string all;
	sweep(
		"readv", [&] { n = ::readv(p.b.get(), halves.data(), halves.size()); },
		[&] {
			if (n > 0)
				all += got.substr(0, static_cast<std::size_t>(n));
			if (all.size() == sent.size()) {
				EXPECT_EQ(all, sent);
				all.clear();
				write_all(p.a, sent);
			}
		});
	expect_works(name == std::string{"stream"} ? "packet4k" : "stream");
}

INSTANTIATE_TEST_SUITE_P(, faulty_transfer, ::testing::Values("stream", "packet4k"),
                         [](const auto &which) { return std::string{which.param}; });

TEST_F(fault_injection, of_copies_around_the_end_of_a_ring_loses_nothing)
{
	constexpr std::size_t ring = 4096;
	const auto p = connect("small");
	const auto full = bytes(ring);
	const auto pass = [&](std::size_t count) {
		write_all(p.a, full.substr(0, count));
		EXPECT_EQ(read_all(p.b, count), full.substr(0, count));
	};
	std::string got(ring, '\0');
	std::size_t n = 0;
	const auto count = [](ssize_t result) { return static_cast<std::size_t>(std::max(result, ssize_t{0})); };
	// A full ring goes around its end, but from the very beginning: at most one of the two does not.
	for (int i = 0; i < 2; ++i) {
		pass(100);
		sweep(
			"write around", [&] { n = count(write(p.a, full)); },
			[&] {
				EXPECT_EQ(read_all(p.b, n), full.substr(0, n));
				pass(ring - n);
			});
		write_all(p.a, full);
		sweep(
			"read around", [&] { n = count(::read(p.b.get(), got.data(), ring)); },
			[&] {
				EXPECT_EQ(got.substr(0, n) + read_all(p.b, ring - n), full);
				write_all(p.a, full);
			});
		EXPECT_EQ(read_all(p.b, ring), full);
	}
}

TEST_F(fault_injection, of_splicing_loses_nothing_of_the_channel)
{
	const auto p = connect("stream");
	const unique_fd file{::memfd_create("file", MFD_CLOEXEC)};
	ASSERT_EQ(::ftruncate(file.get(), 1000), 0);
	int ends[2];
	ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	const unique_fd from{ends[0]}, to{ends[1]};
	std::array<char, 8192> scrap;
	const auto drain = [&](const unique_fd &fd) {
		while (::read(fd.get(), scrap.data(), scrap.size()) > 0)
			;
	};
	sweep(
		"sendfile",
		[&] {
			off_t start = 0;
			::sendfile(p.a.get(), file.get(), &start, 1000);
		},
		[&] {
			set_blocking(p.b, false);
			drain(p.b);
		});
	write_all(p.a, bytes(1000));
	sweep(
		"splice",
		[&] {
			::splice(p.b.get(), nullptr, to.get(), nullptr, 1000, SPLICE_F_NONBLOCK);
		},
		[&] {
			drain(from);
			drain(p.b);
			write_all(p.a, bytes(1000));
		});
	drain(p.b);
	write_all(p.a, "rest");
	EXPECT_EQ(read_all(p.b, 4), "rest");
}

TEST_F(fault_injection, of_calls_about_a_channel_changes_nothing)
{
	const auto p = connect("stream");
	const unique_fd set{::epoll_create1(EPOLL_CLOEXEC)};
	kvmchan_info got{};
	kvmchan_lowat marks{1, 100};
	const auto words = "/sys/kernel/debug/kvmchan" / fs::path{device("stream", 0)}.filename();
	sweep("debugfs", [&] { first_line(words); });
	sweep("ioctl INFO", [&] { ::ioctl(p.a.get(), KVMCHAN_IOC_INFO, &got); });
	sweep("ioctl SET_LOWAT", [&] { ::ioctl(p.a.get(), KVMCHAN_IOC_SET_LOWAT, &marks); });
	sweep("poll", [&] {
		pollfd one{p.a.get(), POLLIN, 0};
		::poll(&one, 1, 1);
	});
	sweep(
		"epoll_ctl",
		[&] {
			epoll_event event{EPOLLIN, {}};
			::epoll_ctl(set.get(), EPOLL_CTL_ADD, p.a.get(), &event);
		},
		[&] { ::epoll_ctl(set.get(), EPOLL_CTL_DEL, p.a.get(), nullptr); });
	sweep(
		"fasync", [&] { ::fcntl(p.a.get(), F_SETFL, O_NONBLOCK | O_ASYNC); },
		[&] { ::fcntl(p.a.get(), F_SETFL, O_NONBLOCK); });
	write_all(p.a, "works");
	EXPECT_EQ(read_all(p.b, 5), "works");
}

TEST_F(fault_injection, of_mapping_gives_an_error)
{
	constexpr std::size_t page = 4096, size = 4 * page;
	// Where nothing has been mapped: the tables of pages have to be made, too.
	void *const far = reinterpret_cast<void *>(std::uintptr_t{1} << 44);
	for (const char *name : {"stream", "block"}) {
		const auto fd = open_side(name, 0);
		if (name == std::string{"stream"}) {
			ASSERT_EQ(::ioctl(fd.get(), KVMCHAN_IOC_MAP_RINGS, static_cast<unsigned long>(KVMCHAN_RING_TX)), 0);
		}
		const auto offset = static_cast<off_t>(name == std::string{"stream"} ? KVMCHAN_MMAP_TX : 0);
		void *at = MAP_FAILED;
		sweep(
			"mmap",
			[&] {
				at = ::mmap(far, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd.get(), offset);
				// A page that cannot be shown for want of memory is asked for again.
				for (std::size_t i = 0; at != MAP_FAILED && i < size; i += page)
					static_cast<volatile char *>(at)[i] = 'm';
			},
			[&] {
				if (at != MAP_FAILED)
					::munmap(at, size);
			});
		EXPECT_NE(at, MAP_FAILED) << name;
	}
	expect_works("stream");
}

} // namespace
