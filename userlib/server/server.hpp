// SPDX-License-Identifier: MIT
// The daemon, without its command line.
#ifndef KVMCHAN_SERVER_SERVER_HPP
#define KVMCHAN_SERVER_SERVER_HPP

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <nlohmann/json_fwd.hpp>

#include "config.hpp"
#include "control_service.hpp"
#include "handover.hpp"
#include "region_service.hpp"

namespace kvmchan {

/**
 * Serves regions until it is stopped. All happens on the thread in run(); only
 * stop() may be called from another one.
 */
class server {
public:
	/** Gives the configuration anew, for a reload; throws std::system_error. */
	using reload_source = std::function<server_config()>;

	/**
	 * Opens all memory and sockets; connections wait until run(). Throws
	 * std::system_error naming what cannot be had, and leaves nothing behind.
	 *
	 * @p with outlives the server: what it has received is gone on with, and
	 * it gets all that the next server needs.
	 */
	explicit server(server_config config, handover *with = nullptr);
	server(const server &) = delete;
	server &operator=(const server &) = delete;
	~server();

	/** What SIGHUP and the control request "reload" ask for. */
	void set_reload_source(reload_source source) { reload_source_ = std::move(source); }
	/** SIGINT and SIGTERM stop, SIGHUP reloads, SIGUSR2 restarts. */
	void handle_signals();

	/** Serves; returns after stop(). Throws what a handler let escape. */
	void run();
	/** Any thread; also before run(). */
	void stop() noexcept;

	/**
	 * Makes each region's slots those of @p wanted. What else differs needs a
	 * restart and is only said in the log. Throws std::system_error.
	 */
	void apply(server_config wanted);

	const std::vector<std::unique_ptr<region_service>> &regions() const noexcept { return regions_; }

private:
	nlohmann::json handle(region_service &region, const nlohmann::json &request);
	nlohmann::json handle_add(region_service &region, const nlohmann::json &request);
	void reload();
	void wait_signal();
	void heed(int signal);
	void open_region(const region_config &config);
	unix_listener open_afresh(const region_config &config);
	void restart();
	void execute();
	server_state save(fd_names &fds, bool exact) const;
	void publish(bool exact);
	void stop_all() noexcept;

	asio::io_context io_;
	std::vector<std::unique_ptr<region_service>> regions_;
	std::vector<std::unique_ptr<control_service>> controls_;
	std::optional<asio::signal_set> signals_;
	reload_source reload_source_;
	handover *handover_;
	bool restarting_ = false;
};

} // namespace kvmchan

#endif
