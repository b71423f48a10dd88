// SPDX-License-Identifier: MIT
#include "time_limit.hpp"

#include "error.hpp"

#include <cstdlib>
#include <string>

namespace harness {

namespace {

double scale_of_environment()
{
	const char *text = std::getenv("KVMCHAN_TIME_SCALE");
	if (!text || !*text)
		return 1;
	char *end = nullptr;
	const double scale = std::strtod(text, &end);
	if (*end || !(scale > 0 && scale <= 1000))
		throw error{std::string{"KVMCHAN_TIME_SCALE is \""} + text +
		            "\": give a factor above 0, up to 1000"};
	return scale;
}

} // namespace

milliseconds stretched(milliseconds limit)
{
	static const double scale = scale_of_environment();
	return std::chrono::duration_cast<milliseconds>(limit * scale);
}

clock::time_point deadline_after(milliseconds limit)
{
	return clock::now() + stretched(limit);
}

} // namespace harness
