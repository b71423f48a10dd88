// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"
#include "io_thread.hpp"
#include "protocol.hpp"

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace harness {

/**
 * The host's end of the control protocol of one guest: commands and what came
 * of them, and the kernel log. It outlives resets of the guest (a new boot
 * says hello again) and, for the sake of handles, the guest itself.
 */
class session : public std::enable_shared_from_this<session> {
public:
	/** @p tail gives the end of the logs for the text of errors. */
	static std::shared_ptr<session> open(kvmchan::unique_fd socket, std::string token);
	void describe_failures_with(std::function<std::string()> tail);

	/** The guest is gone for good: everything that waits fails. */
	void close();

	std::uint32_t start(const command &what);
	void write_input(std::uint32_t id, std::string_view bytes);
	void close_input(std::uint32_t id);
	void signal(std::uint32_t id, int number);
	bool running(std::uint32_t id);
	/** nullopt if the limit passes; throws guest_gone. */
	std::optional<result> wait_for(std::uint32_t id, milliseconds limit);
	/** Throws deadline_error, after it killed the command. */
	result wait(std::uint32_t id, milliseconds limit);
	std::string output(std::uint32_t id);
	std::string errors(std::uint32_t id);
	std::string read_output(std::uint32_t id);
	void wait_output(std::uint32_t id, std::string_view text, milliseconds limit);

	/** How often the guest said hello. */
	unsigned boots();
	void wait_boots(unsigned more_than, milliseconds limit);
	/** Takes a guest over that booted elsewhere, with the same token. */
	void attach(milliseconds limit);
	/** Returns when the guest has answered, and sent its kernel log before. */
	void ping(milliseconds limit = nominal::command);
	void power_off();

	std::string log();
	bool wait_log(std::string_view text, milliseconds limit);

private:
	struct running_command {
		std::string name;
		result outcome;
		std::size_t read = 0;      // of outcome.out, by read_output()
		std::size_t in_flight = 0; // input bytes without credit
		bool ended = false;
		std::string failure; // why there is no outcome
	};

	explicit session(std::string token);
	void receive(std::string_view bytes);
	void handle(const protocol::frame &reply);
	void lose_everything(const std::string &why);
	void send(std::string_view bytes);
	std::uint32_t next_id();
	running_command &find(std::uint32_t id);
	[[noreturn]] void fail(const std::string &what);
	template <typename Predicate>
	bool wait_until(std::unique_lock<std::mutex> &lock, milliseconds limit, Predicate done);

	std::mutex mutex_;
	std::condition_variable changed_;
	std::string token_;
	protocol::decoder decoder_; // I/O thread only
	std::shared_ptr<stream> stream_;
	std::function<std::string()> tail_;
	std::map<std::uint32_t, running_command> commands_;
	std::map<std::uint32_t, bool> pings_;
	std::uint32_t last_id_ = 0;
	unsigned boots_ = 0;
	bool closed_ = false;
	bool attaching_ = false; // our mark was the first one
	std::string log_;
};

} // namespace harness
