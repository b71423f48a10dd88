// SPDX-License-Identifier: MIT
#include "temp_dir.hpp"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

namespace harness {

temp_dir::temp_dir(std::string_view prefix)
{
	std::string name = std::filesystem::temp_directory_path() / prefix;
	name += "-XXXXXX";
	if (!mkdtemp(name.data()))
		throw std::system_error{errno, std::system_category(), "cannot make directory " + name};
	path_ = name;
}

temp_dir::~temp_dir()
{
	std::error_code ignored;
	std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path temp_dir::make_region(std::string_view name, std::uintmax_t size) const
{
	auto file = path_ / name;
	const std::ofstream empty{file};
	std::filesystem::resize_file(file, size);
	return file;
}

} // namespace harness
