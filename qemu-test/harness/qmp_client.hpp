// SPDX-License-Identifier: MIT
#pragma once

#include "error.hpp"
#include "io_thread.hpp"
#include "time_limit.hpp"

#include <nlohmann/json.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace harness {

/** A client of the QEMU machine protocol. Members may be called from any thread. */
class qmp_client : public std::enable_shared_from_this<qmp_client> {
public:
	/** Negotiation happens by itself, ahead of the first command. */
	static std::shared_ptr<qmp_client> open(kvmchan::unique_fd socket);

	nlohmann::json execute(std::string_view name, nlohmann::json arguments, milliseconds limit);
	nlohmann::json wait_event(std::string_view name,
	                          const std::function<bool(const nlohmann::json &)> &match,
	                          milliseconds limit);
	void drop_events();
	void close();

private:
	void receive(std::string_view bytes);
	void handle(nlohmann::json message);
	void send(const nlohmann::json &message);

	std::mutex mutex_;
	std::condition_variable changed_;
	std::shared_ptr<stream> stream_;
	std::string partial_; // I/O thread only
	std::map<std::uint64_t, nlohmann::json> replies_;
	std::deque<nlohmann::json> events_;
	std::uint64_t last_id_ = 0;
	bool closed_ = false;
};

} // namespace harness
