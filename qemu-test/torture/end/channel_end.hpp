// SPDX-License-Identifier: MIT
#pragma once

#include "commands.hpp"
#include "progress.hpp"
#include "receiver.hpp"
#include "report.hpp"

#include <kvmchan/channel.hpp>
#include <kvmchan/region.hpp>

#include <cstdint>
#include <optional>
#include <random>
#include <string>

namespace torture {

/** Whose end this process has. */
struct end_options {
	unsigned side = 0;
	std::uint32_t instance = 0; ///< never used twice for a side
	std::uint64_t seed = 0;
	bool windows = true; ///< also work in the rings themselves
	const kvmchan::region *region = nullptr; ///< none: the device nodes of a guest
};

/** Says it on standard output, as a whole. */
void say(const report &what);

/**
 * One channel, session after session, full of traffic both ways: a session that
 * the peer ends is followed by a new one, until all is to finish.
 */
class channel_end {
public:
	channel_end(const end_options &options, const commands &asked, channel_progress &progress, std::string name,
	            unsigned number);

	/** Returns when the last session has ended in order. */
	void run();

private:
	/* The sides of one session, and who runs them. */
	struct session {
		kvmchan::channel &channel;
		sender out;
		receiver in;
		bool sending = true;
		bool receiving = true;
	};

	void run_in_one_thread(session &s);
	void run_in_two_threads(session &s, bool waits);
	void send_all(session &s, bool waits);
	void receive_all(session &s, bool waits);
	bool send_once(session &s);
	bool receive_once(session &s);

	kvmchan::channel open();
	void run_sessions(kvmchan::channel &channel);
	/** Whether the channel can be had for another session. */
	bool run_session(kvmchan::channel &channel);
	void tell(const char *what, const session *s = nullptr, const std::string &note = "-") const;
	void rest();

	const end_options &options_;
	const commands &asked_;
	channel_progress &progress_;
	std::string name_;
	unsigned number_;
	std::uint32_t session_ = 0;
	std::minstd_rand random_;
	bool finished_ = false;
};

} // namespace torture
