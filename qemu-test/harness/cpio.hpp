// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace harness {

/**
 * A cpio archive in the "newc" format, as the kernel unpacks it at boot
 * (Documentation/driver-api/early-userspace/buffer-format.rst). All files
 * belong to root. Missing parent directories are added.
 */
class cpio_archive {
public:
	void add_directory(std::string_view path);
	void add_file(std::string_view path, std::string_view bytes, unsigned mode);
	void add_file_from(std::string_view path, const std::filesystem::path &source, unsigned mode);
	void add_symlink(std::string_view path, std::string_view target);
	void add_device(std::string_view path, unsigned major, unsigned minor, unsigned mode);

	/** The archive with its end mark. */
	std::string finish() const;

private:
	struct device {
		unsigned major;
		unsigned minor;
	};
	void add(std::string_view path, unsigned mode, std::string_view bytes,
	         device node = device{0, 0});
	void add_parents(std::string_view path);
	bool has(std::string_view path) const;

	std::string bytes_;
	std::string names_ = "\n"; // of all directories so far, for has()
	unsigned inode_ = 0;
};

} // namespace harness
