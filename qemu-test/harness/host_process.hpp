// SPDX-License-Identifier: MIT
#pragma once

#include "time_limit.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/** How a command on either side ended. */
struct result {
	int exit = -1;   ///< exit status; 128 + signal if one ended it
	int signal = 0;  ///< the signal that ended it, or 0
	std::string out; ///< all of its standard output
	std::string err; ///< all of its standard error
	explicit operator bool() const noexcept { return exit == 0; }
};

struct process_options {
	std::vector<std::string> argv;            ///< argv[0] is searched in PATH
	std::map<std::string, std::string> env{}; ///< added to the test's own environment
	std::filesystem::path directory{};        ///< working directory, if not empty
	std::vector<int> inherit{};               ///< descriptors that stay open, same numbers
};

/**
 * A process on the host, with captured output. It leads its own process
 * group; the destructor kills the group, and so does the kernel (the leader)
 * when the thread that created it dies. So create it from the test's thread.
 *
 * All members may be called from any thread.
 */
class host_process {
public:
	/** Starts it; throws harness::error if argv[0] cannot be executed. */
	explicit host_process(process_options options);
	explicit host_process(std::vector<std::string> argv)
	    : host_process(process_options{std::move(argv)}) {}
	~host_process();
	host_process(host_process &&) noexcept;
	host_process &operator=(host_process &&) noexcept;

	int pid() const noexcept;
	bool running() const;

	void write_stdin(std::string_view bytes); ///< queues them and returns
	void close_stdin();

	void signal(int number); ///< to the process itself
	void kill9();            ///< SIGKILL to its group, and waits
	void stop();             ///< SIGSTOP, and waits until it has stopped
	void cont();             ///< SIGCONT

	/** Waits for the end; throws deadline_error (with the output so far). */
	result wait(milliseconds limit = nominal::command);
	/** The same, but an elapsed limit gives nullopt. */
	std::optional<result> wait_for(milliseconds limit);

	/** Output so far. */
	std::string out() const;
	std::string err() const;
	/** Takes out what came on standard output since the last call of read(). */
	std::string read();
	/** Waits until output (either stream) contains @p text; throws as wait() does. */
	void wait_output(std::string_view text, milliseconds limit = nominal::command);

private:
	struct state;
	std::shared_ptr<state> state_;
};

/** Runs a host command to its end. */
result run_host(std::vector<std::string> argv, milliseconds limit = nominal::command);

} // namespace harness
