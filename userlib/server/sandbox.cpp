// SPDX-License-Identifier: MIT
#include "sandbox.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <sstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "seccomp_filter.hpp"
#include "unique_fd.hpp"

namespace kvmchan {
namespace {

/* Lines: the process, whether files are confined, the directories. */
constexpr const char *word_variable = "KVMCHAN_SANDBOX";

/* Of a path as it is written, whether or not there is something. */
std::filesystem::path directory_of(const std::filesystem::path &path)
{
	std::error_code ec;
	const auto whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path, ec).parent_path(), ec);

	return ec ? path.parent_path() : whole;
}

/* Calls @p use(what, directory) for each path that a configuration names. */
void each_directory(const server_config &config,
                    const std::function<void(const std::string &, const std::filesystem::path &)> &use)
{
	for (const region_config &region : config.regions) {
		use(fmt::format("socket {}", region.socket.string()), directory_of(region.socket));
		for (const vm_config &vm : region.vms)
			use(fmt::format("socket {}", vm.socket.string()), directory_of(vm.socket));
		if (region.memory == memory_kind::shm)
			use(fmt::format("shared memory object {}", region.memory_name), "/dev/shm");
		else if (region.memory == memory_kind::file)
			use(fmt::format("memory file {}", region.memory_name), directory_of(region.memory_name));
		else if (region.memory == memory_kind::directory)
			use(fmt::format("memory directory {}", region.memory_name),
			    directory_of(std::filesystem::path{region.memory_name} / "file"));
	}
}

bool is_below(const std::filesystem::path &path, const std::filesystem::path &directory)
{
	return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
}

int add_library(dl_phdr_info *info, std::size_t, void *to)
{
	if (info->dlpi_name && *info->dlpi_name == '/')
		static_cast<std::vector<std::filesystem::path> *>(to)->push_back(directory_of(info->dlpi_name));
	return 0;
}

/* The loader is among them. */
std::vector<std::filesystem::path> library_directories()
{
	std::vector<std::filesystem::path> found;

	::dl_iterate_phdr(add_library, &found);
	std::sort(found.begin(), found.end());
	found.erase(std::unique(found.begin(), found.end()), found.end());
	return found;
}

bool system_calls_filtered() noexcept
{
	return ::prctl(PR_GET_SECCOMP) == 2 && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

/* Who is confined cannot list it; anybody else can. */
bool cannot_list_root() noexcept
{
	const unique_fd root{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

	return !root && errno == EACCES;
}

} // namespace

sandbox::sandbox(const server_config &config, std::filesystem::path config_file, std::filesystem::path pid_file,
                 std::filesystem::path program)
	: config_file_{std::move(config_file)}, pid_file_{std::move(pid_file)}, program_{std::move(program)}
{
	each_directory(config, [this](const std::string &, const std::filesystem::path &directory) {
		if (std::find(directories_.begin(), directories_.end(), directory.string()) == directories_.end())
			directories_.push_back(directory.string());
	});
}

std::vector<landlock::rule> sandbox::rules() const
{
	using namespace landlock;
	std::vector<rule> all;

	for (const std::string &directory : directories_)
		all.push_back({directory, read_files | write_files | make_files | remove_files});
	if (!config_file_.empty()) {
		/* Editors put another file in its place; it may be a link to one elsewhere. */
		all.push_back({directory_of(config_file_), read_files});
		all.push_back({directory_of(std::filesystem::canonical(config_file_)), read_files});
	}
	if (!pid_file_.empty()) {
		all.push_back({pid_file_, read_files | write_files});
		all.push_back({directory_of(pid_file_), remove_files});
	}
	all.push_back({"/dev/null", read_files | write_files});
	/* For users' and groups' names, and for the program when it is run again. */
	all.push_back({"/etc", read_files});
	all.push_back({"/usr/share/zoneinfo", read_files});
	all.push_back({directory_of(program_), read_files | execute_files});
	for (const auto &directory : library_directories())
		all.push_back({directory, read_files | execute_files});
#ifdef KVMCHAN_SANITIZED
	all.push_back({"/proc", read_files | list});
#endif
	return all;
}

void sandbox::enter(int landlock_version)
{
	if (inherit()) {
		spdlog::info("sandbox: that of the former program");
		return;
	}
	::tzset();
	if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		throw std::system_error{errno, std::system_category(), "sandbox: NO_NEW_PRIVS"};
	confine_files(landlock_version);
	leave_word();
	try {
		filter_system_calls();
		spdlog::info("sandbox: system calls are filtered");
	} catch (const std::system_error &error) {
		spdlog::warn("sandbox: system calls are not filtered: {}", error.what());
	}
}

void sandbox::confine_files(int landlock_version)
try {
	const char *const manager = std::getenv("NOTIFY_SOCKET");

	if (landlock_version == 0) {
		spdlog::warn("sandbox: this kernel has no Landlock: files are not confined");
		return;
	}
	landlock::confine(rules(), landlock_version, manager && *manager == '@');
	files_confined_ = true;
	spdlog::info("sandbox: Landlock {}: files below {}", landlock_version, fmt::join(directories_, ", "));
} catch (const std::system_error &error) {
	spdlog::warn("sandbox: Landlock: files are not confined: {}", error.what());
}

/* The environment may be anybody's; the kernel knows whether it is true. */
bool sandbox::inherit()
{
	const char *const word = std::getenv(word_variable);
	std::istringstream lines{word ? word : ""};
	std::string process, confined;

	if (!word || !system_calls_filtered())
		return false;
	std::getline(lines, process);
	std::getline(lines, confined);
	if (process != std::to_string(::getpid()) || (confined == "files") != cannot_list_root())
		return false;
	files_confined_ = confined == "files";
	directories_.clear();
	for (std::string line; std::getline(lines, line);)
		directories_.push_back(line);
	return true;
}

void sandbox::leave_word() const
{
	std::string word = fmt::format("{}\n{}", ::getpid(), files_confined_ ? "files" : "");

	for (const std::string &directory : directories_)
		word += "\n" + directory;
	::setenv(word_variable, word.c_str(), 1);
}

void sandbox::check(const server_config &wanted) const
{
	if (files_confined_)
		each_directory(wanted, [this](const std::string &what, const std::filesystem::path &directory) {
			check(what, directory);
		});
}

void sandbox::check(const std::string &what, const std::filesystem::path &directory) const
{
	const bool inside = std::any_of(directories_.begin(), directories_.end(),
	                                [&](const auto &allowed) { return is_below(directory, allowed); });

	if (!inside)
		throw std::system_error{
			std::make_error_code(std::errc::permission_denied),
			fmt::format("{}: outside of the sandbox that the server entered at its start: for this it needs a "
			            "restart as a new process (systemctl restart, or ended and started)",
			            what)};
}

} // namespace kvmchan
