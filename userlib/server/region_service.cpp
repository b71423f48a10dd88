// SPDX-License-Identifier: MIT
#include "region_service.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "doorbell.hpp"
#include "named_memory.hpp"

namespace kvmchan {
namespace {

/* How soon a dead host process is noticed, and how often we look for the first. */
constexpr std::chrono::milliseconds scan_busy{250};
constexpr std::chrono::milliseconds scan_idle{1000};
/* Bursts that may wait for one client before it is too far behind. */
constexpr std::size_t queue_bursts = 4;

[[noreturn]] void refuse(std::errc error, const std::string &text)
{
	throw std::system_error{std::make_error_code(error), text};
}

} // namespace

region_service::region_service(asio::io_context &io, const region_config &config, unsigned tag,
                               std::optional<inherited_region> from)
	: io_{io}, config_{config}, tag_{tag}, peers_{config.vectors, !config.vms.empty()}, scan_timer_{io}
{
	for (const uid_t uid : config_.allow_uids)
		access_.allow_uid(uid);
	for (const gid_t gid : config_.allow_gids)
		access_.allow_gid(gid);
	if (config_.group)
		access_.allow_gid(*config_.group);
	try {
		if (from)
			restore(std::move(*from));
		else
			open();
	} catch (...) {
		stop();
		throw;
	}
}

void region_service::start()
{
	for (auto &each : acceptors_)
		each->start();
	resume();
	if (table_)
		scan_locks();
}

void region_service::stop() noexcept
{
	scan_timer_.cancel();
	for (auto &each : acceptors_)
		each->stop();
	for (auto &session : sessions_)
		session->close();
	sessions_.clear();
	if (!memory_)
		return;
	if (table_)
		table_->announce(false);
	if (owns_memory_)
		remove_named_memory(config_.memory, config_.memory_name);
	reaper_.reset();
	table_.reset();
	guard_ = {};
	memory_ = {};
}

void region_service::admit_client(unique_fd connection, const peer_credentials &who)
try {
	bool fresh = false;

	if (clients_ >= config_.max_clients) {
		spdlog::warn("region {}: refused pid {}: {} clients are the limit", config_.name, who.pid,
		             config_.max_clients);
		return;
	}
	/* Each one that comes and goes is news for all: not who came to go, or to break the protocol. */
	if (!client_session::is_quiet(connection.get())) {
		spdlog::info("region {}: pid {} left, or sent something, before it was let in", config_.name, who.pid);
		return;
	}
	peer *const as = peers_.join(fresh);

	if (!as) {
		spdlog::warn("region {}: refused pid {}: no ivshmem ID is free", config_.name, who.pid);
		return;
	}
	++clients_;
	begin(*as, std::move(connection), who, false);
	tell_others(*as, true, fresh);
	send_all();
} catch (const std::exception &error) {
	spdlog::warn("region {}: refused pid {}: {}", config_.name, who.pid, error.what());
}

void region_service::admit_vm(std::uint16_t id, unique_fd connection, const peer_credentials &who)
try {
	peer &as = *peers_.find(id);

	/* A QEMU that was restarted may be here before we have seen the old one go. */
	if (as.session && as.session->hung_up()) {
		const auto old = as.session->shared_from_this();

		old->close();
		ended(*old, "left");
	}
	if (as.session) {
		spdlog::warn("region {}: refused pid {}: VM {} is connected as pid {}", config_.name, who.pid, as.vm,
		             as.session->credentials().pid);
		return;
	}
	for (const auto &bell : as.bells)
		drain_doorbell(bell->get());
	begin(as, std::move(connection), who, true);
	send_all();
} catch (const std::exception &error) {
	spdlog::warn("region {}: refused pid {}: {}", config_.name, who.pid, error.what());
}

void region_service::begin(peer &as, unique_fd connection, const peer_credentials &who, bool is_vm)
{
	client_session &session = add_session(as, std::move(connection), who, is_vm, ++tick_);

	queue_burst(session);
	spdlog::info("region {}: peer {} is {}{} (pid {}, uid {})", config_.name, as.id, is_vm ? "VM " : "a client",
	             as.vm, who.pid, who.uid);
	session.start();
}

client_session &region_service::add_session(peer &as, unique_fd connection, const peer_credentials &who, bool is_vm,
                                            std::uint64_t joined)
{
	const auto session = std::make_shared<client_session>(
		io_, std::move(connection), who, config_.client_deadline,
		[this](client_session &ending, const std::string &why) { ended(ending, why); });

	session->id = as.id;
	session->joined = joined;
	session->is_vm = is_vm;
	as.session = session.get();
	session->when_drained([this] { changed(); });
	sessions_.push_back(session);
	return *session;
}

/*
 * What is queued goes out between two states: a server that dies in between
 * leaves one that says to whom something was on its way.
 */
void region_service::send_all()
{
	changed();
	for (const auto &session : sessions_)
		session->flush();
	changed();
}

void region_service::changed()
{
	if (at_change_)
		at_change_();
}

/* All that a new client has to know, as one piece; its own vectors end it. */
void region_service::queue_burst(client_session &to)
{
	to.push(ivshmem::protocol_version);
	to.push(to.id);
	to.push(ivshmem::memory_marker, memory_fd_);
	for (const auto &[id, other] : peers_.all()) {
		const bool there = other.session || !other.vm.empty();

		/* A VM learns of peers that are kept for later as well. */
		if (id != to.id && (there || to.is_vm))
			for (const auto &bell : other.bells)
				to.push(id, bell);
	}
	for (const auto &bell : peers_.find(to.id)->bells)
		to.push(to.id, bell);
}

/*
 * Clients hear of each that comes and goes. A VM hears only of peers that are
 * new to all: those that are kept for later it has already, and keeps.
 */
void region_service::tell_others(const peer &about, bool joined, bool fresh)
{
	const std::size_t burst = (peers_.all().size() + 1) * config_.vectors + 3;

	/* To end a session changes the list later, from the loop. */
	for (const auto &session : sessions_) {
		if (session->id == about.id || (session->is_vm && !(joined && fresh)))
			continue;
		if (session->queued() > queue_bursts * burst + 4096) {
			session->end(fmt::format("does not read: {} messages wait for it", session->queued()));
			continue;
		}
		if (joined)
			for (const auto &bell : about.bells)
				session->push(about.id, bell);
		else
			session->push(about.id);
	}
}

void region_service::ended(client_session &session, const std::string &why)
{
	const auto keep = session.shared_from_this();
	const std::uint16_t id = session.id;
	peer *const as = peers_.find(id);

	if (std::erase(sessions_, keep) == 0 || !as || as->session != &session)
		return;
	spdlog::info("region {}: peer {} (pid {}): {}", config_.name, id, session.credentials().pid, why);
	departed(*as, session.is_vm);
}

void region_service::departed(peer &gone, bool is_vm)
{
	const std::uint16_t id = gone.id;

	++tick_;
	if (!is_vm) {
		--clients_;
		tell_others(gone, false, false);
	}
	peers_.leave(gone, tick_);
	send_all();
	if (reaper_) {
		ring_bells(reaper_->peer_left(id));
		scan_locks();
	}
}

void region_service::add_slot(const slot_spec &spec)
{
	if (!table_)
		refuse(std::errc::not_supported, "region \"" + config_.name + "\" is raw: it has no table");
	table_->add(spec);
	ring_all();
}

void region_service::remove_slot(const std::string &name)
{
	if (!table_)
		refuse(std::errc::not_supported, "region \"" + config_.name + "\" is raw: it has no table");
	table_->remove(name);
	configured_.erase(name);
	ring_all();
}

void region_service::apply(const region_config &wanted)
{
	std::set<std::string> names;

	if (!table_)
		refuse(std::errc::not_supported, "region \"" + config_.name + "\" is raw: it has no table");
	for (const slot_config &slot : wanted.slots)
		names.insert(slot.spec.name);
	const auto before = configured_;

	for (const std::string &name : before) {
		if (names.contains(name))
			continue;
		if (table_->find(name))
			table_->remove(name);
		configured_.erase(name);
		spdlog::info("region {}: removed \"{}\"", config_.name, name);
	}
	try {
		for (const slot_config &slot : wanted.slots)
			add_configured(slot);
	} catch (...) {
		ring_all();
		throw;
	}
	config_.slots = wanted.slots;
	ring_all();
}

void region_service::ring(std::uint32_t peer_id, std::uint32_t vector)
{
	const peer *const to = peer_id <= ivshmem::id_max ? peers_.find(static_cast<std::uint16_t>(peer_id)) : nullptr;

	if (!to)
		refuse(std::errc::no_such_device_or_address,
		       fmt::format("region \"{}\" has no peer {}", config_.name, peer_id));
	if (vector >= to->bells.size())
		refuse(std::errc::no_such_device_or_address,
		       fmt::format("vector {} of peer {}: there are vectors 0 to {}", vector, peer_id, to->bells.size() - 1));
	ring_doorbell(to->bells[vector]->get());
}

/* Addresses come out of shared memory: any number may stand there. */
void region_service::ring_bells(const std::vector<bell_address> &bells)
{
	for (const bell_address &bell : bells) {
		const peer *const to = peers_.find(bell.peer);

		if (to && bell.vector < to->bells.size())
			ring_doorbell(to->bells[bell.vector]->get());
	}
}

/* Vector 0 says that the table has changed. */
void region_service::ring_all()
{
	for (const auto &[id, each] : peers_.all())
		if (each.session)
			ring_doorbell(each.bells.front()->get());
	changed();
}

void region_service::scan_locks()
{
	if (memory_error_ && !std::exchange(loss_said_, true))
		spdlog::error("region {}: somebody truncated its memory, and it is lost: restart the server", config_.name);

	const std::size_t before = reaper_->deaths();
	const auto bells = reaper_->scan_locks();

	if (reaper_->deaths() != before)
		spdlog::info("region {}: {} sides of dead processes were freed", config_.name, reaper_->deaths() - before);
	ring_bells(bells);
	arm_scan();
}

void region_service::arm_scan()
{
	scan_timer_.expires_after(reaper_->watching() ? scan_busy : scan_idle);
	scan_timer_.async_wait([this](const std::error_code &ec) {
		if (!ec && reaper_)
			scan_locks();
	});
}

void region_service::resolve(slot_config &slot) const
{
	region_config copy = config_;

	copy.slots = {slot};
	complete(copy);
	slot = copy.slots.front();
}

} // namespace kvmchan
