// SPDX-License-Identifier: MIT
// What "kvmchan serve" leaves itself when all is open.
#ifndef KVMCHAN_SERVER_SANDBOX_HPP
#define KVMCHAN_SERVER_SANDBOX_HPP

#include <filesystem>
#include <string>
#include <vector>

#include "config.hpp"
#include "landlock.hpp"

namespace kvmchan {

/**
 * Confines the whole process: for a program that is a server and nothing else,
 * before it serves. Of the file system it keeps the directories of sockets and
 * memory, the configuration file's (to read it anew), the pid file, and what is
 * needed to run its own program again; of the system calls those that a server
 * makes.
 *
 * None of it can be undone, and a program that this process runs inherits it:
 * that one finds in its environment what it was left, and adds nothing.
 */
class sandbox {
public:
	/** What to keep. Empty @p config_file, @p pid_file: there is none. */
	sandbox(const server_config &config, std::filesystem::path config_file, std::filesystem::path pid_file,
	        std::filesystem::path program);

	/**
	 * Enters it, for good; all threads that there will be are started later.
	 * What the kernel does not have is said in the log, and done without.
	 * @p landlock_version: landlock::abi(), or less.
	 */
	void enter(int landlock_version);

	/**
	 * Throws std::system_error that names the first path of @p wanted that this
	 * process cannot reach any more.
	 */
	void check(const server_config &wanted) const;

	/** What can be reached: the directories of sockets and memory. */
	const std::vector<std::string> &directories() const noexcept { return directories_; }

private:
	bool inherit();
	void confine_files(int landlock_version);
	void leave_word() const;
	std::vector<landlock::rule> rules() const;
	void check(const std::string &what, const std::filesystem::path &directory) const;

	std::vector<std::string> directories_;
	std::filesystem::path config_file_, pid_file_, program_;
	bool files_confined_ = false;
};

} // namespace kvmchan

#endif
