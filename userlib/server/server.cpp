// SPDX-License-Identifier: MIT
#include "server.hpp"

#include <chrono>
#include <csignal>
#include <thread>

#include <malloc.h>
#include <unistd.h>

#include <asio/executor_work_guard.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "exec_fds.hpp"
#include "memory_size.hpp"
#include "notify.hpp"

namespace kvmchan {
namespace {

using nlohmann::json;

constexpr mode_t control_mode = 0660;
constexpr std::chrono::seconds close_patience{5};
constexpr std::chrono::milliseconds close_poll{20};
/* Of the control socket among a region's: see socket_fd_name(). */
constexpr unsigned control_which = 1;

/* Bytes. What is allocated, of the main arena and the mapped pieces: all of a server with one thread. */
std::uint64_t heap_in_use()
{
	const struct mallinfo2 now = ::mallinfo2();

	return now.uordblks + now.hblkhd;
}

[[noreturn]] void refuse(const std::string &text)
{
	throw std::system_error{std::make_error_code(std::errc::invalid_argument), text};
}

std::string text_of(const json &request, const char *key, const char *otherwise = nullptr)
{
	const auto found = request.find(key);

	if (found == request.end() && otherwise)
		return otherwise;
	if (found == request.end() || !found->is_string())
		refuse(fmt::format("\"{}\" has to be a string", key));
	return found->get<std::string>();
}

std::uint32_t number_of(const json &request, const char *key)
{
	const auto found = request.find(key);

	if (found == request.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > UINT32_MAX)
		refuse(fmt::format("\"{}\" has to be a number from 0 to 4294967295", key));
	return found->get<std::uint32_t>();
}

std::uint64_t size_of(const json &value)
{
	if (value.is_number_unsigned())
		return value.get<std::uint64_t>();
	if (value.is_string())
		return parse_size(value.get<std::string>());
	refuse(R"("size" has to be a number, a text such as "64K", or two of them)");
}

void take_sizes(const json &request, slot_spec &spec)
{
	const auto found = request.find("size");

	if (found == request.end()) {
		if (spec.kind == KVMCHAN_KIND_MEMORY)
			refuse("memory needs a \"size\"");
		return;
	}
	if (!found->is_array()) {
		spec.size = {size_of(*found), size_of(*found)};
		return;
	}
	if (found->size() != 2)
		refuse("\"size\" has one or two entries");
	spec.size = {size_of(found->at(0)), size_of(found->at(1))};
}

slot_config parse_slot(const json &request)
{
	slot_config slot;
	const std::string kind = text_of(request, "kind", "channel");
	const std::string mode = text_of(request, "mode", "stream");

	slot.origin = "request";
	slot.spec.name = text_of(request, "name");
	if (kind != "channel" && kind != "memory")
		refuse(fmt::format("kind \"{}\" is neither channel nor memory", kind));
	if (mode != "stream" && mode != "packet")
		refuse(fmt::format("mode \"{}\" is neither stream nor packet", mode));
	slot.spec.kind = kind == "memory" ? KVMCHAN_KIND_MEMORY : KVMCHAN_KIND_CHANNEL;
	slot.spec.mode = mode == "packet" ? KVMCHAN_MODE_PACKET : KVMCHAN_MODE_STREAM;
	take_sizes(request, slot.spec);
	if (slot.spec.kind == KVMCHAN_KIND_MEMORY)
		slot.spec.size[1] = 0;
	if (const auto sides = request.find("sides"); sides != request.end()) {
		if (!sides->is_array() || sides->size() != 2 || !sides->at(0).is_string() || !sides->at(1).is_string())
			refuse("\"sides\" has two texts: host, any, a VM's name or an ID");
		slot.sides = {sides->at(0).get<std::string>(), sides->at(1).get<std::string>()};
	}
	return slot;
}

} // namespace

server::server(server_config config, handover *with) : handover_{with}
{
	std::vector<region_shape> shapes;

	complete(config);
	for (const region_config &region : config.regions)
		shapes.push_back(region_service::shape_of(region));
	if (handover_)
		handover_->fit(shapes);
	for (const region_config &region : config.regions)
		open_region(region);
}

void server::open_region(const region_config &config)
{
	const std::filesystem::path control = control_path(config.socket);
	std::optional<inherited_region> from = handover_ ? handover_->take(region_service::shape_of(config)) : std::nullopt;
	unix_listener listener;

	if (from) {
		const unsigned tag = from->state.tag;

		try {
			listener = unix_listener::adopt(control, control_mode, from->take(socket_fd_name(tag, control_which)),
			                                from->take(lock_fd_name(tag, control_which)));
			regions_.push_back(std::make_unique<region_service>(io_, config, tag, std::move(from)));
		} catch (const std::system_error &error) {
			spdlog::error("region {}: what a former server left cannot be used, and it starts afresh: {}",
			              config.name, error_text(error));
			listener.close();
			from.reset();
			handover_->drop(tag);
		}
	}
	if (!listener)
		listener = open_afresh(config);

	region_service &service = *regions_.back();

	controls_.push_back(
		std::make_unique<control_service>(io_, std::move(listener), service.control_access(),
	                                          [this, &service](const json &request) { return handle(service, request); }));
	service.when_changed([this] { publish(false); });
}

/* The service manager may still be about to close what could not be taken. */
unix_listener server::open_afresh(const region_config &config)
{
	const auto deadline = std::chrono::steady_clock::now() + close_patience;
	const unsigned tag = handover_ ? handover_->new_tag() : 0;

	for (;;) {
		try {
			unix_listener listener = unix_listener::listen(control_path(config.socket), control_mode);

			regions_.push_back(std::make_unique<region_service>(io_, config, tag));
			return listener;
		} catch (const std::system_error &error) {
			const bool taken = error.code() == std::errc::address_in_use ||
			                   error.code() == std::errc::device_or_resource_busy;

			if (!taken || !handover_ || !handover_->dropped() || std::chrono::steady_clock::now() > deadline)
				throw;
		}
		std::this_thread::sleep_for(close_poll);
	}
}

server::~server()
{
	stop_all();
}

void server::stop_all() noexcept
{
	for (const auto &each : controls_)
		each->stop();
	for (const auto &each : regions_)
		each->stop();
}

void server::handle_signals()
{
	signals_.emplace(io_);
	for (const int signal : heeded_signals)
		signals_->add(signal);
	/* The former program of this process may have blocked them. */
	block_heeded_signals(false);
	wait_signal();
}

void server::wait_signal()
{
	signals_->async_wait([this](const std::error_code &ec, int signal) {
		if (ec)
			return;
		if (signal == SIGINT || signal == SIGTERM) {
			spdlog::info("ending on signal {}", signal);
			io_.stop();
			return;
		}
		heed(signal);
		wait_signal();
	});
}

void server::heed(int signal)
try {
	if (signal == SIGHUP)
		reload();
	else
		restart();
} catch (const std::exception &error) {
	spdlog::error("{}: {}", signal == SIGHUP ? "reload" : "restart", error.what());
}

/*
 * The next program could not serve with a file that has a mistake in it, nor when
 * it does not start.
 */
void server::restart()
{
	if (!handover_)
		refuse("this server is part of another program, which cannot be restarted");
	if (reload_source_)
		reload_source_();
	handover_->rehearse();
	restarting_ = true;
	io_.stop();
}

/* Returns when the program cannot be run. */
void server::execute()
try {
	fd_names fds;

	notify_reloading();
	publish(true);

	const server_state state = save(fds, true);

	handover_->execute(state, fds);
} catch (const std::exception &error) {
	spdlog::error("restart: {}", error.what());
	notify_ready("restart failed");
	publish(false);
}

server_state server::save(fd_names &fds, bool exact) const
{
	server_state state;

	for (std::size_t i = 0; i < regions_.size(); ++i) {
		const unsigned tag = regions_[i]->tag();

		state.regions.push_back(regions_[i]->save(fds, exact));
		fds[socket_fd_name(tag, control_which)] = controls_[i]->listener().fd();
		fds[lock_fd_name(tag, control_which)] = controls_[i]->listener().lock_fd();
	}
	return state;
}

void server::publish(bool exact)
{
	fd_names fds;

	if (!handover_)
		return;
	if (handover_->has_store())
		handover_->publish(save(fds, exact), fds);
}

void server::run()
{
	for (const auto &each : regions_)
		each->start();
	for (const auto &each : controls_)
		each->start();

	/* Keeps the loop alive whatever becomes of the sockets. */
	const auto guard = asio::make_work_guard(io_);

	notify_ready(fmt::format("serving {} regions", regions_.size()));
	do {
		if (std::exchange(restarting_, false)) {
			execute();
			io_.restart();
		}
		io_.run();
	} while (restarting_);
	notify_stopping();
	publish(true);
	if (!handover_ || !handover_->kept()) {
		stop_all();
		return;
	}
	/* For the next server, or for nobody: the service manager knows. */
	for (const auto &each : controls_)
		each->leave();
	for (const auto &each : regions_)
		each->leave();
}

void server::stop() noexcept
{
	io_.stop();
}

void server::reload()
{
	if (!reload_source_)
		refuse("this server was started without a configuration file: there is nothing to read anew");
	notify_reloading();
	try {
		apply(reload_source_());
	} catch (...) {
		notify_ready("reload failed");
		throw;
	}
	notify_ready("reloaded");
	spdlog::info("reloaded");
}

void server::apply(server_config wanted)
{
	complete(wanted);
	for (const region_config &region : wanted.regions) {
		bool known = false;

		for (const auto &service : regions_) {
			const region_config &now = service->config();

			if (now.name != region.name)
				continue;
			known = true;
			if (now.size != region.size || now.vectors != region.vectors || now.socket != region.socket ||
			    now.vms.size() != region.vms.size())
				spdlog::warn("region {}: only channels and memory change without a restart", region.name);
			service->apply(region);
		}
		if (!known)
			spdlog::warn("region {}: a new region needs a restart", region.name);
	}
}

json server::handle(region_service &region, const json &request)
{
	const std::string command = text_of(request, "cmd");

	if (command == "status")
		return {{"region", region.status()}, {"server", {{"pid", ::getpid()}, {"heap", heap_in_use()}}}};
	if (command == "ring") {
		region.ring(number_of(request, "peer"), number_of(request, "vector"));
		return json::object();
	}
	if (command == "add")
		return handle_add(region, request);
	if (command == "remove") {
		region.remove_slot(text_of(request, "name"));
		return json::object();
	}
	if (command == "reload") {
		reload();
		return json::object();
	}
	if (command == "restart") {
		restart();
		return json::object();
	}
	refuse(fmt::format("\"{}\" is none of status, ring, add, remove, reload, restart", command));
}

json server::handle_add(region_service &region, const json &request)
{
	slot_config slot = parse_slot(request);

	region.resolve(slot);
	region.add_slot(slot.spec);
	return json::object();
}

} // namespace kvmchan
