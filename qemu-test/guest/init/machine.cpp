// SPDX-License-Identifier: MIT
#include "machine.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

namespace guest_init {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

bool try_mount(const char *type, const char *source, const char *target, unsigned long flags = 0,
               const char *options = nullptr)
{
	std::error_code ignored;
	fs::create_directories(target, ignored);
	return mount(source, target, type, flags, options) == 0 || errno == EBUSY;
}

std::string file_text(const fs::path &file)
{
	std::ifstream in{file};
	std::ostringstream text;
	text << in.rdbuf();
	return text.str();
}

/* Does nothing if the machine has no such share. */
void mount_share(std::string_view tag, const char *target, unsigned long flags)
{
	std::error_code ec;
	for (const auto &device : fs::directory_iterator{"/sys/bus/virtio/devices", ec}) {
		// The tag ends with a NUL or nothing.
		const auto text = file_text(device.path() / "mount_tag");
		if (text.substr(0, text.find('\0')) != tag)
			continue;
		const char *options = "trans=virtio,version=9p2000.L,msize=262144,access=any";
		if (!try_mount("9p", std::string{tag}.c_str(), target, flags, options))
			give_up("cannot mount " + std::string{target} + ": " + std::strerror(errno));
	}
}

void stop_everybody()
{
	kill(-1, SIGTERM);
	std::this_thread::sleep_for(20ms);
	kill(-1, SIGKILL);
	sync();
}

/* The /dev node of the virtio-serial port of that name; waits for it. */
std::string find_port(std::string_view name)
{
	// The host announces its ports asynchronously, after the driver's probe.
	for (int i = 0; i < 6000; ++i) {
		std::error_code ec;
		for (const auto &entry : fs::directory_iterator{"/sys/class/virtio-ports", ec}) {
			auto text = file_text(entry.path() / "name");
			text.erase(text.find_last_not_of('\n') + 1);
			const auto node = "/dev" / entry.path().filename();
			if (text == name && fs::exists(node, ec))
				return node;
		}
		std::this_thread::sleep_for(10ms);
	}
	give_up("no virtio-serial port " + std::string{name});
}

void make_raw(int terminal)
{
	termios settings{};
	if (tcgetattr(terminal, &settings) != 0)
		give_up(std::string{"the control port is no terminal: "} + std::strerror(errno));
	cfmakeraw(&settings);
	settings.c_cflag |= CLOCAL;
	tcsetattr(terminal, TCSANOW, &settings);
}

} // namespace

void give_up(std::string_view why)
{
	const kvmchan::unique_fd kmsg{open("/dev/kmsg", O_WRONLY | O_CLOEXEC)};
	const auto text = "<0>init: " + std::string{why} + '\n';
	if (write(kmsg.get(), text.data(), text.size()) < 0) {
		[[maybe_unused]] const auto n = write(STDERR_FILENO, text.data(), text.size());
	}
	std::_Exit(1);
}

void mount_pseudo_filesystems()
{
	const char *none = "none";
	if (!try_mount("proc", none, "/proc") || !try_mount("sysfs", none, "/sys") ||
	    !try_mount("devtmpfs", none, "/dev"))
		give_up("cannot mount /proc, /sys or /dev");
	try_mount("devpts", none, "/dev/pts");
	try_mount("tmpfs", none, "/dev/shm");
	try_mount("tmpfs", none, "/tmp");
	try_mount("tmpfs", none, "/run");
	try_mount("debugfs", none, "/sys/kernel/debug");
	try_mount("tracefs", none, "/sys/kernel/tracing");
	try_mount("securityfs", none, "/sys/kernel/security");
	for (int n = 0; const char *name : {"/dev/stdin", "/dev/stdout", "/dev/stderr"}) {
		const auto target = "/proc/self/fd/" + std::to_string(n++);
		[[maybe_unused]] const int failed = symlink(target.c_str(), name);
	}
	[[maybe_unused]] const int failed = symlink("/proc/self/fd", "/dev/fd");
}

void mount_shares()
{
	mount_share("share", "/share", 0);
	mount_share("host", "/host", MS_RDONLY);
	// The build directory has the same name here as on the host, because
	// programs in it may look for their libraries by that name.
	const fs::path build = boot_parameter("kvmchan.build");
	if (build.empty())
		return;
	std::error_code ignored;
	fs::create_directories(build.parent_path(), ignored);
	fs::create_symlink("/host" + build.string(), build, ignored);
	fs::create_symlink("/host" + boot_parameter("kvmchan.tests"), "/tests", ignored);
}

void load_boot_modules()
{
	std::error_code ec;
	std::vector<fs::path> files;
	for (const auto &entry : fs::directory_iterator{"/boot-modules", ec})
		files.push_back(entry.path());
	std::ranges::sort(files);
	for (const auto &file : files) {
		const kvmchan::unique_fd fd{open(file.c_str(), O_RDONLY | O_CLOEXEC)};
		if (syscall(SYS_finit_module, fd.get(), "", 0) != 0 && errno != EEXIST)
			give_up("cannot load " + file.string() + ": " + std::strerror(errno));
	}
}

std::string boot_parameter(std::string_view name)
{
	std::istringstream words{file_text("/proc/cmdline")};
	const auto prefix = std::string{name} + '=';
	std::string value;
	for (std::string word; words >> word;) {
		if (word.starts_with(prefix))
			value = word.substr(prefix.size());
	}
	return value;
}

kvmchan::unique_fd open_control_port(std::string_view virtio_name)
{
	const auto terminal = boot_parameter("kvmchan.control");
	const auto node = terminal.empty() ? find_port(virtio_name) : terminal;
	kvmchan::unique_fd port{open(node.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
	if (!port)
		give_up("cannot open " + node + ": " + std::strerror(errno));
	if (!terminal.empty())
		make_raw(port.get());
	return port;
}

void power_off()
{
	stop_everybody();
	reboot(RB_POWER_OFF);
	give_up("power off failed");
}

void reboot_machine()
{
	stop_everybody();
	reboot(RB_AUTOBOOT);
	give_up("reboot failed");
}

} // namespace guest_init
