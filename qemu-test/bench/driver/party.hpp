// SPDX-License-Identifier: MIT
#pragma once

#include "jobs.hpp"
#include "time_limit.hpp"

#include <string>

namespace bench {

/** Who does one end of a measurement, one job at a time. */
class party {
public:
	virtual ~party() = default;

	/** Returns at once. */
	virtual void start(const job &what) = 0;
	/**
	 * The job's text. Throws with what went wrong; harness::deadline_error
	 * when the job does not end.
	 */
	virtual std::string finish(harness::milliseconds limit) = 0;
	std::string finish() { return finish(patience); }

	std::string run(const job &what)
	{
		start(what);
		return finish();
	}

	/** Only bounds how long something broken hangs. */
	static constexpr harness::milliseconds patience{60'000};

protected:
	party() = default;
	party(const party &) = default;
	party(party &&) = default;
	party &operator=(const party &) = default;
	party &operator=(party &&) = default;
};

} // namespace bench
