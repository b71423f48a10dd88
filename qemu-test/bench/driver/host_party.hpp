// SPDX-License-Identifier: MIT
#pragma once

#include "control.hpp"
#include "host_ends.hpp"
#include "party.hpp"

#include <functional>
#include <future>

namespace bench {

/** A thread of this process. If its job hangs, this process can only end. */
class host_party final : public party {
public:
	host_party(host_ends &ends, control &words) : ends_{ends}, words_{words} {}

	using party::finish;
	void start(const job &what) override;
	std::string finish(harness::milliseconds limit) override;
	/** Something else than a job. */
	void start(std::function<std::string()> work);

private:
	host_ends &ends_;
	control &words_;
	std::future<std::string> result_;
};

} // namespace bench
