// SPDX-License-Identifier: MIT
// How regions and ends of channels are named on the command line.
#ifndef KVMCHAN_TOOLS_ENDPOINT_HPP
#define KVMCHAN_TOOLS_ENDPOINT_HPP

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "kvmchan/channel.hpp"
#include "kvmchan/region.hpp"

namespace kvmchan::tools {

/** Where a region is. */
struct region_place {
	enum class kind { server, memory };

	kind what = kind::memory;
	std::string where;

	/** A socket is a server's; anything else is memory. */
	static region_place guess(const std::string &where);
	region open() const;
};

/** A region by --server, --shm or a bare word. */
class region_argument {
public:
	void add_to(CLI::App &app);

	bool given() const noexcept;
	region_place place() const;

private:
	std::string server_;
	std::string shm_;
	std::string word_;
};

/** One slot, in a guest (without a region) or on the host. */
struct endpoint {
	std::optional<region_place> region;
	std::string name;

	channel open(const channel_options &options) const;
	std::string text() const;
};

/** An end by a word that says all, or by --server or --shm and a name. */
class endpoint_argument {
public:
	void add_to(CLI::App &app);
	endpoint get() const;
	/** Host: the side that was asked for. */
	std::optional<unsigned> side() const { return side_; }

private:
	std::string server_;
	std::string shm_;
	std::string word_;
	std::optional<unsigned> side_;
};

/** The paragraph of --help about all this. */
extern const char *const endpoint_help;

} // namespace kvmchan::tools

#endif
