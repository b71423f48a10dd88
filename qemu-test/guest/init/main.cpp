// SPDX-License-Identifier: MIT
/*
 * PID 1 of a test guest. It brings the machine up and then does what the
 * harness asks for over its control port; or, with kvmchan.shell=PROGRAM
 * on the kernel's command line, it runs that on the console and powers off.
 */
#include "machine.hpp"
#include "protocol.hpp"
#include "server.hpp"

#include <csignal>
#include <cstdlib>
#include <exception>
#include <string>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace guest_init;

[[noreturn]] void be_shell(const std::string &program)
{
	setsid();
	// The open that gets the controlling terminal, so that ^C works.
	const int tty = open("/dev/ttyS0", O_RDWR);
	ioctl(tty, TIOCSCTTY, 0);
	for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
		dup2(tty, fd);
	const auto slash = program.rfind('/');
	// A leading dash makes a login shell of it.
	const auto name = '-' + program.substr(slash + 1);
	execl(program.c_str(), name.c_str(), nullptr);
	_exit(127);
}

/* For a human, who wants to see what went wrong and go on. */
void load_module()
{
	const char *file = "/lib/modules/kvmchan.ko";
	const pid_t insmod = access(file, F_OK) == 0 ? fork() : -1;
	if (insmod == 0) {
		execl("/sbin/insmod", "insmod", file, nullptr);
		_exit(127);
	}
	if (insmod > 0)
		waitpid(insmod, nullptr, 0);
}

[[noreturn]] void serve_console(const std::string &program)
{
	load_module();
	const pid_t shell = fork();
	if (shell == 0)
		be_shell(program);
	for (pid_t pid; (pid = wait(nullptr)) != shell;) {
		if (pid < 0 && errno != EINTR)
			break;
	}
	power_off();
}

} // namespace

int main()
try {
	signal(SIGPIPE, SIG_DFL);
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/tests", 1);
	setenv("HOME", "/root", 1);
	setenv("TERM", "vt100", 0);
	mount_pseudo_filesystems();
	load_boot_modules();
	mount_shares();
	if (const auto shell = boot_parameter("kvmchan.shell"); !shell.empty())
		serve_console(shell);
	const auto token = boot_parameter("kvmchan.token");
	server{open_control_port(harness::protocol::port_name), token}.run();
} catch (const std::exception &e) {
	give_up(e.what());
}
