// SPDX-License-Identifier: MIT
#include "landlock.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unique_fd.hpp"

namespace kvmchan::landlock {
namespace {

/* Newer than the headers may be: the kernel is asked what it has. */
constexpr std::uint64_t fs_refer = std::uint64_t{1} << 13;
constexpr std::uint64_t fs_truncate = std::uint64_t{1} << 14;
constexpr std::uint64_t fs_ioctl_dev = std::uint64_t{1} << 15;
constexpr std::uint64_t net_tcp = 3;		/* bind, connect */
constexpr std::uint64_t scope_abstract_sockets = 1;
constexpr std::uint64_t scope_signals = 2;

/* struct landlock_ruleset_attr of version 6; older ones are shorter. */
struct ruleset_attributes {
	std::uint64_t fs = 0, net = 0, scoped = 0;
};

constexpr std::uint64_t fs_first =
	LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
	LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	LANDLOCK_ACCESS_FS_MAKE_SYM;
/* What a rule for something that is no directory may have. */
constexpr std::uint64_t fs_of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                      LANDLOCK_ACCESS_FS_READ_FILE | fs_truncate;

[[noreturn]] void fail(const std::string &what)
{
	throw std::system_error{errno, std::system_category(), what};
}

ruleset_attributes handled(int version, bool abstract_sockets) noexcept
{
	ruleset_attributes all{.fs = fs_first};

	if (version >= 2)
		all.fs |= fs_refer;
	if (version >= 3)
		all.fs |= fs_truncate;
	if (version >= 4)
		all.net = net_tcp;
	if (version >= 5)
		all.fs |= fs_ioctl_dev;
	if (version >= 6)
		all.scoped = scope_signals | (abstract_sockets ? 0 : scope_abstract_sockets);
	return all;
}

std::size_t size_for(int version) noexcept
{
	return sizeof(std::uint64_t) * (version >= 6 ? 3 : version >= 4 ? 2 : 1);
}

std::uint64_t access_of(unsigned rights) noexcept
{
	std::uint64_t access = 0;

	if (rights & read_files)
		access |= LANDLOCK_ACCESS_FS_READ_FILE;
	if (rights & write_files)
		access |= LANDLOCK_ACCESS_FS_WRITE_FILE | fs_truncate;
	if (rights & make_files)
		access |= LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK;
	if (rights & remove_files)
		access |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (rights & execute_files)
		access |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (rights & list)
		access |= LANDLOCK_ACCESS_FS_READ_DIR;
	return access;
}

void add(int ruleset, const rule &one, std::uint64_t known)
{
	const unique_fd at{::open(one.path.c_str(), O_PATH | O_CLOEXEC)};
	struct stat st {};

	if (!at && errno == ENOENT)
		return;
	if (!at || ::fstat(at.get(), &st) < 0)
		fail(one.path.string());

	landlock_path_beneath_attr attributes{};

	attributes.allowed_access = access_of(one.rights) & known & (S_ISDIR(st.st_mode) ? ~std::uint64_t{} : fs_of_files);
	attributes.parent_fd = at.get();
	if (attributes.allowed_access &&
	    ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attributes, 0) < 0)
		fail("a rule for " + one.path.string());
}

} // namespace

int abi() noexcept
{
	const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? static_cast<int>(version) : 0;
}

void confine(const std::vector<rule> &rules, int version, bool abstract_sockets)
{
	const ruleset_attributes all = handled(version, abstract_sockets);
	const unique_fd ruleset{
		static_cast<int>(::syscall(SYS_landlock_create_ruleset, &all, size_for(version), 0))};

	if (!ruleset)
		fail("a set of rules");
	for (const rule &each : rules)
		add(ruleset.get(), each, all.fs);
	if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) < 0)
		fail("the set of rules");
}

} // namespace kvmchan::landlock
