// SPDX-License-Identifier: MIT
#pragma once

#include "error.hpp"
#include "guest_options.hpp"
#include "host_process.hpp"
#include "time_limit.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/** A command for the guest. */
struct command {
	/// One word means a script for /bin/sh -c; several are argv as it is.
	std::vector<std::string> argv;
	std::map<std::string, std::string> env{};
	std::string input{}; ///< all of its standard input (run() only)

	command(const char *script) : argv{script} {}
	command(std::string script) : argv{std::move(script)} {}
	command(std::vector<std::string> words) : argv{std::move(words)} {}
	command(std::initializer_list<std::string> words) : argv{words} {}
};

class guest;
class session;

/** A command that runs in the guest. Copies refer to the same command. */
class guest_command {
public:
	/** Queues bytes for its standard input; blocks while 256 KiB wait unread. */
	void write_stdin(std::string_view bytes);
	void close_stdin();

	void signal(int number); ///< to its process group
	void kill9();            ///< SIGKILL, and waits for the end

	bool running() const;
	/** Waits for the end; throws deadline_error (and kills it) or guest_gone. */
	result wait(milliseconds limit = nominal::command);
	/** The same, but an elapsed limit gives nullopt and leaves it running. */
	std::optional<result> wait_for(milliseconds limit);

	std::string out() const; ///< standard output so far
	std::string err() const; ///< standard error so far
	/** Takes out what came on standard output since the last call of read(). */
	std::string read();
	/** Waits until standard output contains @p text; throws as wait() does. */
	void wait_output(std::string_view text, milliseconds limit = nominal::command);

private:
	friend class guest;
	guest_command(std::shared_ptr<session> owner, std::uint32_t id);
	std::shared_ptr<session> owner_;
	std::uint32_t id_;
};

/**
 * A virtual machine. Every wait has a limit; whatever fails throws an error
 * that carries the end of the guest's console and kernel log.
 *
 * In the guest: /share is the directory share() of the host (read-write),
 * /host is the host's root (read-only), /tests holds the in-guest programs
 * and is in PATH.
 *
 * Members may be called from several threads, except those that end the
 * guest. The destructor kills QEMU without any check; shutdown() is the one
 * that proves things.
 */
class guest {
public:
	/** Boots, and returns when the guest takes commands. */
	explicit guest(guest_options options = {});
	/**
	 * A machine into which @p source migrates, by `guest_case::migrate()`.
	 * @p options must describe the same machine, with its own sockets and
	 * files where they shall differ. Returns when it runs here; the source
	 * is then paused, and its commands are lost.
	 */
	guest(guest_options options, guest &source);
	~guest();
	guest(const guest &) = delete;
	guest &operator=(const guest &) = delete;

	/* ---- commands ---- */

	/** Runs to the end; a failed command is a result, a hanging one throws. */
	result run(const command &what, milliseconds limit = nominal::command);
	/** run() that throws harness::error if the exit status is not 0; gives its output. */
	std::string check(const command &what, milliseconds limit = nominal::command);
	guest_command spawn(const command &what);
	/** argv that runs a dynamically linked host program in the guest, out of /host. */
	static command host_program(const std::filesystem::path &program,
	                            std::vector<std::string> args = {});

	/* ---- files ---- */

	/** The host directory that is /share in the guest. */
	const std::filesystem::path &share() const;
	void put_file(std::string_view guest_path, std::string_view bytes, unsigned mode = 0644);
	std::string fetch_file(std::string_view guest_path);

	/* ---- the module ---- */

	void load_module();
	void unload_module(); ///< rmmod; also checks that no node stayed behind

	/* ---- QMP ---- */

	/** Executes and returns the "return" value; throws qmp_error. */
	nlohmann::json qmp(std::string_view execute, nlohmann::json arguments = nullptr);
	/**
	 * Waits for an event and takes it out of the queue, older ones stay.
	 * Events that came before the call count too.
	 */
	nlohmann::json wait_event(std::string_view name,
	                          const std::function<bool(const nlohmann::json &)> &match = {},
	                          milliseconds limit = nominal::event);
	/** Forgets the events that came so far. */
	void drop_events();

	void hotplug(const ivshmem &device); ///< its bus must be a root port
	/** device_del, waits for DEVICE_DELETED, then removes the backend. */
	void unplug(std::string_view id);

	void pause();
	void resume();
	/**
	 * Suspends to RAM (S3); returns when the machine sleeps. Needs
	 * boot_image::bzimage, control_port::serial and `.shares = false`.
	 */
	void suspend();
	/** Wakes it up; returns when the guest has resumed and takes commands. */
	void wake_up();
	/** A hard reset; returns when the new kernel takes commands. */
	void reset();
	/** Waits until the guest has booted once more, after it reboots by itself. */
	void wait_boot(milliseconds limit = nominal::boot);

	/* ---- the end ---- */

	bool running() const; ///< is QEMU there?
	int qemu_pid() const;
	void kill9();         ///< kill -9 of QEMU
	/**
	 * Powers off and waits until QEMU has exited with status 0. If the module
	 * is loaded it must unload first, and leave neither nodes nor leaks.
	 */
	void shutdown();
	/** Waits until QEMU is gone, whoever ends it; gives its wait status. */
	int wait_exit(milliseconds limit = nominal::exit);

	/* ---- logs ---- */

	std::string console() const; ///< all of the serial console
	std::string dmesg() const;   ///< the kernel log since boot, as it was streamed out
	/** Returns when all that the kernel has logged until now is in dmesg(). */
	void sync_logs();
	/** Waits until dmesg() or console() contains @p text. */
	void wait_log(std::string_view text, milliseconds limit = nominal::command);
	/** The last lines of console and kernel log, for failure messages. */
	std::string tail(std::size_t lines = 60) const;

	const guest_options &options() const;

private:
	void wait_migrated();
	void abandon() noexcept;

	struct state;
	std::unique_ptr<state> state_;
};

} // namespace harness
