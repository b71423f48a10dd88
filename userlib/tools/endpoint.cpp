// SPDX-License-Identifier: MIT
#include "endpoint.hpp"

#include <sys/stat.h>

namespace kvmchan::tools {
namespace {

bool is_socket(const std::string &path)
{
	struct stat st {};

	return ::stat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode);
}

void add_place_options(CLI::App &app, std::string &server, std::string &shm)
{
	CLI::Option *const by_server = app.add_option("--server", server, "Region of the ivshmem server at this socket");
	CLI::Option *const by_memory =
		app.add_option("--shm", shm, "Region in this POSIX shared memory object or file (no doorbells: polls)");

	by_server->excludes(by_memory);
}

} // namespace

const char *const endpoint_help =
	"An end of a channel is named\n"
	"  in a guest   NAME, for /dev/kvmchan/by-name/NAME, or a path in /dev\n"
	"  on the host  SOCKET:NAME or MEMORY:NAME, or --server SOCKET NAME, --shm MEMORY NAME\n"
	"where SOCKET is that of \"kvmchan serve\" and MEMORY a POSIX shared memory object or a\n"
	"file. What follows the last colon is the name; a name with a colon needs the options.";

region_place region_place::guess(const std::string &where)
{
	return {is_socket(where) ? kind::server : kind::memory, where};
}

region region_place::open() const
{
	attach_options options;

	options.guard = true;
	return what == kind::server ? region::attach(where, options) : region::open(where, options);
}

void region_argument::add_to(CLI::App &app)
{
	add_place_options(app, server_, shm_);
	app.add_option("region", word_, "A server's socket, a shared memory object, or a file");
}

bool region_argument::given() const noexcept
{
	return !server_.empty() || !shm_.empty() || !word_.empty();
}

region_place region_argument::place() const
{
	if (!server_.empty())
		return {region_place::kind::server, server_};
	if (!shm_.empty())
		return {region_place::kind::memory, shm_};
	if (word_.empty())
		throw CLI::RequiredError{"a region: --server SOCKET, --shm MEMORY or either as a word"};
	return region_place::guess(word_);
}

channel endpoint::open(const channel_options &options) const
{
	return region ? channel{region->open(), name, options} : channel{name, options};
}

std::string endpoint::text() const
{
	return region ? region->where + ":" + name : name;
}

void endpoint_argument::add_to(CLI::App &app)
{
	add_place_options(app, server_, shm_);
	app.add_option("--side", side_, "Host: take this side of the channel, and no other")->check(CLI::Range(0, 1));
	app.add_option("end", word_, "The end: NAME, /dev/..., SOCKET:NAME or MEMORY:NAME")->required();
	app.footer(endpoint_help);
}

endpoint endpoint_argument::get() const
{
	if (!server_.empty())
		return {region_place{region_place::kind::server, server_}, word_};
	if (!shm_.empty())
		return {region_place{region_place::kind::memory, shm_}, word_};
	const auto colon = word_.rfind(':');

	if (colon == std::string::npos || word_.starts_with("/dev/kvmchan"))
		return {std::nullopt, word_};
	return {region_place::guess(word_.substr(0, colon)), word_.substr(colon + 1)};
}

} // namespace kvmchan::tools
