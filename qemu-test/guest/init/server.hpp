// SPDX-License-Identifier: MIT
#pragma once

#include "child.hpp"
#include "kernel_log.hpp"
#include "protocol.hpp"
#include "unique_fd.hpp"

#include <list>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>

namespace guest_init {

/** Serves the control protocol on one port until the machine goes down. */
class server {
public:
	server(kvmchan::unique_fd port, std::string token);
	[[noreturn]] void run();

private:
	using kind = harness::protocol::kind;

	void begin();
	std::vector<pollfd> poll_set() const;
	void receive();
	void handle(const harness::protocol::frame &request);
	void start(const harness::protocol::frame &request);
	void send(kind type, std::uint32_t id, std::string_view payload = {});
	void flush();
	bool congested() const;
	void reap();
	void pump_logs();
	void pump_child(child &process);
	void finish(child &process);
	child *find(std::uint32_t id);

	kvmchan::unique_fd port_;
	kvmchan::unique_fd signals_;
	kernel_log log_;
	std::string token_;
	harness::protocol::decoder decoder_;
	std::string outgoing_;
	bool attached_ = false; // a mark of the host came
	std::list<child> children_;
};

} // namespace guest_init
