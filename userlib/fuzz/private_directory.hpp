// SPDX-License-Identifier: MIT
// A place for sockets.
#ifndef KVMCHAN_FUZZ_PRIVATE_DIRECTORY_HPP
#define KVMCHAN_FUZZ_PRIVATE_DIRECTORY_HPP

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace kvmchan::fuzz {

class private_directory {
public:
	private_directory()
	{
		std::string name = (std::filesystem::temp_directory_path() / "kvmchan-fuzz.XXXXXX").string();

		if (!::mkdtemp(name.data()))
			throw std::system_error{errno, std::system_category(), name};
		path_ = name;
	}
	private_directory(const private_directory &) = delete;
	private_directory &operator=(const private_directory &) = delete;
	~private_directory()
	{
		std::error_code ec;

		std::filesystem::remove_all(path_, ec);
	}

	std::filesystem::path operator/(const std::string &name) const { return path_ / name; }

private:
	std::filesystem::path path_;
};

} // namespace kvmchan::fuzz

#endif
