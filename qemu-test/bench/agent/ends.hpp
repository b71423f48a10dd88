// SPDX-License-Identifier: MIT
#pragma once

#include "end.hpp"
#include "jobs.hpp"
#include "unique_fd.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bench {

/** The guest's ends of all transports; they stay open from job to job. */
class guest_ends {
public:
	end &get(const job &what);

private:
	std::unique_ptr<end> open(const std::string &path, const std::string &where);
	/** The same open file again, so that all ways to use a node share a session. */
	kvmchan::unique_fd node(const std::string &slot);

	std::map<std::pair<std::string, std::string>, std::unique_ptr<end>> ends_;
	std::map<std::string, kvmchan::unique_fd> nodes_;
};

} // namespace bench
