// SPDX-License-Identifier: MIT
#include "boot_files.hpp"

#include "architecture.hpp"
#include "cpio.hpp"
#include "error.hpp"
#include "host_process.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace harness {

namespace fs = std::filesystem;

namespace {

fs::path environment(const char *name)
{
	const char *value = std::getenv(name);
	return value ? value : "";
}

/* Debian's busybox-static names its applets with their usual directories. */
void add_busybox(cpio_archive &archive)
{
	const fs::path busybox = "/bin/busybox", foreign = kernel_directory() / "busybox";
	archive.add_file_from("bin/busybox", fs::exists(foreign) ? foreign : busybox, 0755);
	const auto listing = run_host({busybox, "--list-full"});
	if (!listing)
		throw error{"/bin/busybox --list-full failed: install busybox-static"};
	std::istringstream applets{listing.out};
	for (std::string path; std::getline(applets, path);) {
		if (path != "bin/busybox")
			archive.add_symlink(path, "/bin/busybox");
	}
}

/* With these, dynamically linked programs of the host run out of /host. */
void add_host_libraries(cpio_archive &archive)
{
	const std::string libraries = "/usr/lib/x86_64-linux-gnu";
	archive.add_symlink("lib64/ld-linux-x86-64.so.2",
	                    "/host" + libraries + "/ld-linux-x86-64.so.2");
	archive.add_symlink(libraries, "/host" + libraries);
	archive.add_symlink("lib/x86_64-linux-gnu", "/host" + libraries);
}

void add_boot_modules(cpio_archive &archive)
{
	archive.add_directory("boot-modules");
	std::error_code none_is_fine; // a kernel with all built in
	for (const auto &entry :
	     fs::directory_iterator{kernel_directory() / "modules", none_is_fine})
		archive.add_file_from("boot-modules/" + entry.path().filename().string(),
		                      entry.path(), 0644);
}

} // namespace

fs::path cache_directory()
{
	if (auto own = environment("KVMCHAN_CACHE"); !own.empty())
		return own;
	if (const auto xdg = environment("XDG_CACHE_HOME"); !xdg.empty())
		return xdg / "kvmchan";
	return environment("HOME") / ".cache/kvmchan";
}

fs::path kernel_directory()
{
	auto directory = environment("KVMCHAN_KERNEL_DIR");
	if (directory.empty())
		directory = cache_directory() / "kernel" / KVMCHAN_KERNEL_RELEASE;
	if (!fs::exists(directory / "vmlinux") && !fs::exists(directory / "vmlinuz"))
		throw error{"no guest kernel in " + directory.string() +
		            ": run scripts/setup test, or set KVMCHAN_KERNEL_DIR"};
	return directory;
}

fs::path kernel_file(boot_image image)
{
	const auto directory = kernel_directory();
	const auto vmlinux = directory / "vmlinux";
	return image == boot_image::pvh && fs::exists(vmlinux) ? vmlinux : directory / "vmlinuz";
}

fs::path module_file()
{
	const auto own = environment("KVMCHAN_KO");
	return own.empty() ? fs::path{KVMCHAN_BUILT_KO} : own;
}

fs::path guest_program_directory()
{
	const auto own = environment("KVMCHAN_GUEST_PROGRAMS");
	return own.empty() ? fs::path{KVMCHAN_BUILT_GUEST_PROGRAMS} : fs::absolute(own);
}

fs::path build_directory()
{
	return KVMCHAN_BUILD_DIRECTORY;
}

fs::path source_directory()
{
	return KVMCHAN_SOURCE_DIRECTORY;
}

void write_initramfs(const fs::path &to, bool with_module)
{
	cpio_archive archive;
	for (const char *directory :
	     {"proc", "sys", "dev", "tmp", "run", "root", "etc", "share", "host", "mnt", "lib/modules"})
		archive.add_directory(directory);
	archive.add_device("dev/console", 5, 1, 0600);
	archive.add_file("etc/passwd",
	                 "root:x:0:0:root:/root:/bin/sh\n"
	                 "nobody:x:65534:65534:nobody:/:/bin/sh\n", 0644);
	archive.add_file("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0644);
	archive.add_file_from("init", guest_program_directory() / "guest-init", 0755);
	add_busybox(archive);
	if (guest_architecture().is_of_host)
		add_host_libraries(archive);
	add_boot_modules(archive);
	if (with_module) {
		if (!fs::exists(module_file()))
			throw error{"no " + module_file().string() +
			            ": build the target kmod, or set KVMCHAN_KO"};
		archive.add_file_from("lib/modules/kvmchan.ko", module_file(), 0644);
	}
	const auto bytes = archive.finish();
	std::ofstream out{to, std::ios::binary};
	out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
	if (!out.flush())
		throw error{"cannot write " + to.string()};
}

} // namespace harness
