// SPDX-License-Identifier: MIT
// A thread that is to block in a system call, and proof that it does.
#pragma once

#include "node.hpp"

#include <atomic>
#include <csignal>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include <sys/syscall.h>

namespace node {

/** By which libc's poll() calls the kernel. */
#ifdef SYS_poll
inline constexpr long poll_call = SYS_poll;
#else
inline constexpr long poll_call = SYS_ppoll;
#endif

/** Runs a function; joins at its end, and throws there what that threw. */
class blocked_thread {
public:
	explicit blocked_thread(std::function<void()> work)
	    : thread_{[this, work = std::move(work)] { run(work); }}
	{
		eventually([&] { return tid_ != 0; });
	}
	blocked_thread(const blocked_thread &) = delete;
	blocked_thread &operator=(const blocked_thread &) = delete;
	~blocked_thread()
	{
		if (thread_.joinable())
			thread_.join();
	}

	/** Waits until it sleeps inside system call @p number. */
	bool in(long number) const
	{
		const auto task = "/proc/self/task/" + std::to_string(tid_);
		return eventually([&] {
			std::string word, stat = first_line(task + "/stat");
			std::ifstream{task + "/syscall"} >> word;
			const auto end = stat.rfind(')');
			return word == std::to_string(number) && end != stat.npos && stat.substr(end, 4) == ") S ";
		});
	}

	bool done() const { return done_; }
	void signal(int number) const { ::syscall(SYS_tgkill, ::getpid(), tid_.load(), number); }

	/** Waits for its end. */
	void join()
	{
		if (!eventually([&] { return done_.load(); }))
			give_up("a thread hangs in system call " +
			        first_line("/proc/self/task/" + std::to_string(tid_) + "/syscall"));
		thread_.join();
		if (error_)
			std::rethrow_exception(error_);
	}

private:
	void run(const std::function<void()> &work)
	{
		tid_ = static_cast<pid_t>(::syscall(SYS_gettid));
		try {
			work();
		} catch (...) {
			error_ = std::current_exception();
		}
		done_ = true;
	}

	std::atomic<pid_t> tid_ = 0;
	std::atomic<bool> done_ = false;
	std::exception_ptr error_;
	std::thread thread_;
};

} // namespace node
