// SPDX-License-Identifier: MIT
#include "pinning.hpp"

#include <cerrno>
#include <system_error>

#include <sched.h>

namespace kvmchan::bench {
namespace {

std::vector<int> find_cpus()
{
	std::vector<int> found;
	cpu_set_t set;

	if (::sched_getaffinity(0, sizeof(set), &set))
		throw std::system_error{errno, std::system_category(), "sched_getaffinity"};
	for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
		if (CPU_ISSET(cpu, &set))
			found.push_back(cpu);
	return found;
}

} // namespace

const std::vector<int> &usable_cpus()
{
	/* Of the process as it started, before any thread moved. */
	static const std::vector<int> cpus = find_cpus();

	return cpus;
}

void run_at(place where)
{
	const std::vector<int> &cpus = usable_cpus();
	cpu_set_t set;

	CPU_ZERO(&set);
	if (where == place::anywhere)
		for (const int cpu : cpus)
			CPU_SET(cpu, &set);
	else
		CPU_SET(cpus[where == place::second && cpus.size() > 1 ? 1 : 0], &set);
	if (::sched_setaffinity(0, sizeof(set), &set))
		throw std::system_error{errno, std::system_category(), "sched_setaffinity"};
}

} // namespace kvmchan::bench
