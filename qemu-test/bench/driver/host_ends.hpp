// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"
#include "jobs.hpp"
#include "machine.hpp"
#include "many.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bench {

/** The host's ends of all transports; they stay open from job to job. */
class host_ends {
public:
	explicit host_ends(machine &at);

	/** May wait for the guest to come. */
	end &get(const job &what);
	/** `where` of a transport that has only one place, as both ends use it. */
	std::string where(const std::string &path) const;
	/** A channel of the library; the same one for all ways to use a slot. */
	std::shared_ptr<kvmchan::channel> channel(const std::string &slot);
	/** Channels whose names are this and a number. */
	many_channels &group(const std::string &prefix);

private:
	std::unique_ptr<end> open(const std::string &path, const std::string &where);
	std::unique_ptr<end> accept(const std::string &path);

	machine &machine_;
	std::map<std::pair<std::string, std::string>, std::unique_ptr<end>> ends_;
	std::map<std::string, std::shared_ptr<kvmchan::channel>> channels_;
	std::map<std::string, many_channels> groups_;
	std::unique_ptr<end> bell_;
	std::string bell_id_;
};

} // namespace bench
