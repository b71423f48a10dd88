// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <csignal>
#include <system_error>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

/** A process that burns one core of the host as long as this object lives. */
class hog {
public:
	hog() : pid_{::fork()}
	{
		if (pid_ < 0)
			throw std::system_error{errno, std::generic_category(), "fork"};
		if (pid_ == 0)
			burn();
	}
	~hog()
	{
		::kill(pid_, SIGKILL);
		::waitpid(pid_, nullptr, 0);
	}
	hog(const hog &) = delete;
	hog &operator=(const hog &) = delete;

private:
	[[noreturn]] static void burn()
	{
		::prctl(PR_SET_PDEATHSIG, SIGKILL);
		cpu_set_t first;
		::sched_getaffinity(0, sizeof first, &first);
		int cpu = 0;
		while (!CPU_ISSET(cpu, &first))
			++cpu;
		CPU_ZERO(&first);
		CPU_SET(cpu, &first);
		::sched_setaffinity(0, sizeof first, &first);
		for (volatile unsigned n = 0;;)
			n = n + 1;
	}

	pid_t pid_;
};

} // namespace bench
