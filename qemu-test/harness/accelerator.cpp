// SPDX-License-Identifier: MIT
#include "accelerator.hpp"

#include "architecture.hpp"
#include "boot_files.hpp"
#include "error.hpp"
#include "host_process.hpp"
#include "temp_dir.hpp"

#include <cstdlib>
#include <fstream>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace harness {

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kvm{"-accel", "kvm", "-cpu", "host"};

/* PID 1 runs this instead of a shell, and we see "Linux". */
constexpr const char *probe_words = "console=ttyS0 quiet panic=-1 kvmchan.shell=/bin/uname";

/* /dev/kvm may exist and even create machines, and a guest still hangs in it. */
bool boots_with_kvm()
{
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return false;
	const temp_dir dir;
	const auto initramfs = dir / "initramfs";
	write_initramfs(initramfs, false);
	std::vector<std::string> argv{"qemu-system-x86_64", "-M", "q35", "-m", "256", "-smp", "2",
	                              "-nodefaults", "-no-user-config", "-display", "none",
	                              "-no-reboot", "-serial", "stdio",
	                              "-kernel", kernel_file(boot_image::pvh),
	                              "-initrd", initramfs,
	                              "-append", probe_words};
	argv.insert(argv.end(), kvm.begin(), kvm.end());
	host_process qemu{argv};
	try {
		qemu.wait_output("Linux", std::chrono::seconds{10});
		return true;
	} catch (const deadline_error &) {
		return false;
	}
}

std::string boot_id()
{
	std::ifstream in{"/proc/sys/kernel/random/boot_id"};
	std::string id;
	in >> id;
	return id;
}

bool kvm_is_usable()
{
	const auto memory = cache_directory() / ("kvm-" + boot_id());
	std::string verdict;
	if (std::ifstream in{memory}; in >> verdict)
		return verdict == "yes";
	const bool usable = boots_with_kvm();
	std::error_code ignored;
	fs::create_directories(cache_directory(), ignored);
	std::ofstream{memory} << (usable ? "yes" : "no") << '\n';
	return usable;
}

} // namespace

std::vector<std::string> accelerator_args()
{
	const char *text = std::getenv("KVMCHAN_ACCEL");
	const std::string_view choice = text && *text ? text : "auto";
	if (choice != "tcg" && choice != "kvm" && choice != "auto")
		throw error{"KVMCHAN_ACCEL is \"" + std::string{choice} + "\": use kvm, tcg or auto"};
	if (choice == "tcg" || (choice == "auto" && !guest_architecture().is_of_host))
		return guest_architecture().emulate;
	if (!guest_architecture().is_of_host)
		throw error{std::string{"KVMCHAN_ACCEL is \"kvm\": guests of "} + guest_architecture().name + " are emulated here"};
	if (choice == "kvm")
		return kvm;
	static const bool usable = kvm_is_usable();
	return usable ? kvm : guest_architecture().emulate;
}

} // namespace harness
