// SPDX-License-Identifier: MIT
#include "usage.hpp"

#include <cerrno>
#include <ctime>
#include <system_error>

namespace bench {

namespace {

double read_clock(clockid_t clock)
{
	timespec time{};
	if (::clock_gettime(clock, &time) != 0)
		throw std::system_error{errno, std::generic_category(), "CPU clock"};
	return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

} // namespace

double cpu_seconds()
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

double cpu_seconds(pid_t pid)
{
	clockid_t clock{};
	if (const int error = ::clock_getcpuclockid(pid, &clock))
		throw std::system_error{error, std::generic_category(), "CPU clock"};
	return read_clock(clock);
}

} // namespace bench
