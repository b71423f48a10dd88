// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

namespace harness {

/** A fresh private directory (mode 0700), removed with all it holds. */
class temp_dir {
public:
	/** Throws std::system_error. The name is short: sockets live in it. */
	explicit temp_dir(std::string_view prefix = "kvmchan");
	~temp_dir();
	temp_dir(const temp_dir &) = delete;
	temp_dir &operator=(const temp_dir &) = delete;

	const std::filesystem::path &path() const noexcept { return path_; }
	std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

	/** A sparse file of @p size zero bytes in this directory. */
	std::filesystem::path make_region(std::string_view name, std::uintmax_t size) const;

private:
	std::filesystem::path path_;
};

} // namespace harness
