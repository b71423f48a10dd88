// SPDX-License-Identifier: MIT
#include "seccomp_filter.hpp"

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <string>
#include <system_error>

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kvmchan {
namespace {

/* By name: what this machine does not have, or the library does not know, is passed over. */
using names = std::initializer_list<const char *>;

constexpr names descriptors{
	"read", "write", "readv", "writev", "pread64", "pwrite64", "lseek", "_llseek", "close", "close_range", "dup",
	"dup2", "dup3", "fcntl", "fcntl64", "pipe", "pipe2", "eventfd2", "memfd_create", "epoll_create", "epoll_create1",
	"epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "ppoll_time64", "select", "_newselect",
	"pselect6", "timerfd_create", "timerfd_settime", "timerfd_settime64", "timerfd_gettime", "timerfd_gettime64",
};
constexpr names files{
	"open", "openat", "openat2", "access", "faccessat", "faccessat2", "stat", "stat64", "lstat", "lstat64", "fstat",
	"fstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "readlink",
	"readlinkat", "getdents64", "getcwd", "unlink", "unlinkat", "ftruncate", "ftruncate64", "fallocate", "chmod",
	"fchmod", "fchmodat", "chown", "chown32", "fchown", "fchown32", "fchownat", "lchown", "umask",
};
constexpr names sockets{
	"bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt",
	"sendmsg", "sendmmsg", "sendto", "send", "recvmsg", "recvfrom", "recv", "shutdown",
};
constexpr names process{
	"munmap", "mremap", "madvise", "brk", "membarrier", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn",
	"sigaltstack", "restart_syscall", "futex", "futex_time64", "set_robust_list", "set_tid_address", "rseq",
	"sched_yield", "sched_getaffinity", "getrandom", "clock_gettime", "clock_gettime64", "clock_getres",
	"clock_nanosleep", "clock_nanosleep_time64", "nanosleep", "gettimeofday", "time", "getpid", "gettid", "getppid",
	"getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32", "getresuid",
	"getresgid", "getgroups", "uname", "sysinfo", "getrlimit", "ugetrlimit", "getrusage", "prctl", "arch_prctl",
	"tgkill", "exit", "exit_group", "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
};
/* To try the program, and to run it again: Landlock says which. */
constexpr names successor{"execve", "alarm", "setitimer", "wait4", "waitid", "waitpid"};
[[maybe_unused]] constexpr names hostile{
	"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "bpf", "perf_event_open", "userfaultfd", "mount",
	"umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick", "pivot_root",
	"chroot", "setns", "unshare", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
	"swapon", "swapoff", "iopl", "ioperm", "acct", "open_by_handle_at", "settimeofday", "clock_settime", "execveat",
};
#ifdef KVMCHAN_SANITIZED
constexpr names of_sanitizers{"ptrace", "getdents", "personality", "mincore", "sched_getparam", "sched_setaffinity", "process_vm_readv",
                              "kill", "prlimit64", "setrlimit", "fork", "vfork", "clone"};
#endif

/* CLONE_NEWTIME is of newer headers. */
[[maybe_unused]] constexpr scmp_datum_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                                         CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x80;
constexpr scmp_datum_t writable = PROT_WRITE, executable = PROT_EXEC;

class filter {
public:
	filter() : context_{seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release}
	{
		if (!context_)
			throw std::system_error{ENOMEM, std::system_category(), "a filter"};
		check(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "other machines");
		/* A tree: the lists are long. */
		check(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "a tree");
	}

	void add(std::uint32_t action, names calls)
	{
		for (const char *const name : calls)
			add(action, name);
	}

	void add(std::uint32_t action, const char *name, std::initializer_list<scmp_arg_cmp> arguments = {})
	{
		const int call = seccomp_syscall_resolve_name(name);

		if (call == __NR_SCMP_ERROR)
			return;
		check(seccomp_rule_add_array(context_.get(), action, call, static_cast<unsigned>(arguments.size()),
		                             std::data(arguments)),
		      name);
	}

	void load() { check(seccomp_load(context_.get()), "the filter"); }

private:
	/* -EEXIST: the same is said already; -EDOM: not on this machine. */
	static void check(int result, const char *what)
	{
		if (result < 0 && result != -EEXIST && result != -EDOM)
			throw std::system_error{-result, std::system_category(), what};
	}

	std::unique_ptr<void, decltype(&seccomp_release)> context_;
};

scmp_arg_cmp equals(unsigned argument, scmp_datum_t value) noexcept
{
	return {argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value) noexcept
{
	return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void allow_in_part(filter &all)
{
	for (const char *const call : {"socket", "socketpair"})
		all.add(SCMP_ACT_ALLOW, call, {equals(0, AF_UNIX)});
	for (const unsigned request : {unsigned{FIONBIO}, unsigned{FIONREAD}, unsigned{TCGETS}, unsigned{TIOCGWINSZ}})
		all.add(SCMP_ACT_ALLOW, "ioctl", {equals(1, request)});
	for (const char *const call : {"mmap", "mmap2"}) {
		all.add(SCMP_ACT_ALLOW, call, {masked(2, executable, 0)});
		all.add(SCMP_ACT_ALLOW, call, {masked(2, executable | writable, executable)});
	}
	all.add(SCMP_ACT_ALLOW, "mprotect", {masked(2, executable, 0)});
	/* Our own limits. */
	all.add(SCMP_ACT_ALLOW, "prlimit64", {equals(0, 0)});
	all.add(SCMP_ACT_ALLOW, "setrlimit");
	/* Its flags are in memory, where no filter sees them: libc takes the other one. */
	all.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
#ifndef KVMCHAN_SANITIZED
	all.add(SCMP_ACT_ALLOW, "clone", {masked(0, new_namespaces, 0)});
#endif
}

} // namespace

void filter_system_calls()
{
	filter all;

#ifdef KVMCHAN_SANITIZED
	all.add(SCMP_ACT_ALLOW, of_sanitizers);
#endif
	for (const names &calls : {descriptors, files, sockets, process, successor})
		all.add(SCMP_ACT_ALLOW, calls);
	allow_in_part(all);
#ifndef KVMCHAN_SANITIZED
	all.add(SCMP_ACT_KILL_PROCESS, hostile);
#endif
	all.load();
}

} // namespace kvmchan
