// SPDX-License-Identifier: MIT
#include "region_service.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "doorbell.hpp"

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

region_service::region_service(asio::io_context &io, const region_config &config)
	: io_{io}, config_{config}, peers_{config.vectors, !config.vms.empty()}, scan_timer_{io}
{
	for (const uid_t uid : config_.allow_uids)
		access_.allow_uid(uid);
	for (const gid_t gid : config_.allow_gids)
		access_.allow_gid(gid);
	if (config_.group)
		access_.allow_gid(*config_.group);
	try {
		open();
	} catch (...) {
		stop();
		throw;
	}
}

void region_service::open()
{
	/* The sockets first: of two servers on one path only one may go on. */
	listen(config_.socket, std::nullopt);
	for (const vm_config &vm : config_.vms) {
		peers_.add_vm(*vm.id, vm.name);
		listen(vm.socket, vm.id);
	}
	open_memory();
	if (!config_.raw)
		open_table();
}

void region_service::listen(const std::filesystem::path &path, std::optional<std::uint16_t> vm)
{
	unix_listener listener = unix_listener::listen(path, config_.mode);

	if (config_.group) {
		std::error_code ec;

		listener.assign_group(*config_.group, ec);
		if (ec)
			throw std::system_error{ec, fmt::format("socket {}: group {}", path.string(), *config_.group)};
	}
	acceptors_.push_back(std::make_unique<acceptor>(
		io_, std::move(listener), access_, [this, vm](unique_fd connection, const peer_credentials &who) {
			if (vm)
				admit_vm(*vm, std::move(connection), who);
			else
				admit_client(std::move(connection), who);
		}));
}

void region_service::open_memory()
{
	switch (config_.memory) {
	case memory_kind::memfd:
		memory_ = memory::create_memfd("kvmchan:" + config_.name, config_.size);
		break;
	case memory_kind::shm:
		memory_ = memory::create_shm(config_.memory_name, config_.size);
		break;
	case memory_kind::file:
		memory_ = memory::create_file(config_.memory_name, config_.size);
		break;
	case memory_kind::directory:
		memory_ = memory::create_in(config_.memory_name, config_.size);
		break;
	}

	std::error_code ec;

	lock_ = manager_lock::acquire(memory_.fd(), ec);
	if (ec == std::errc::device_or_resource_busy)
		throw std::system_error{ec, "memory \"" + config_.memory_name + "\": another server manages it"};
	if (ec)
		throw std::system_error{ec, "locking the memory of region \"" + config_.name + "\""};
	memory_fd_ = std::make_shared<const unique_fd>(reopen(memory_.fd(), ec));
	if (ec)
		throw std::system_error{ec, "reopening the memory of region \"" + config_.name + "\""};
}

void region_service::open_table()
{
	if (!memory_.created() && manager::is_formatted(memory_.bytes())) {
		table_ = manager::adopt(memory_.bytes());
		spdlog::info("region {}: went on with {} bytes that were formatted before", config_.name, memory_.size());
		if (table_->dropped())
			spdlog::warn("region {}: {} slots of its table were damaged and are gone", config_.name,
			             table_->dropped());
	} else {
		table_ = manager::format(memory_.bytes(), {config_.table_slots, memory_.created()});
	}
	reaper_.emplace(*table_, memory_.fd());
	for (const slot_config &slot : config_.slots)
		add_configured(slot);
	table_->announce(true);
}

void region_service::add_configured(const slot_config &slot)
{
	if (table_->find(slot.spec.name)) {
		if (matches(slot.spec)) {
			configured_.insert(slot.spec.name);
			return;
		}
		table_->remove(slot.spec.name);
	}
	try {
		table_->add(slot.spec);
	} catch (const std::system_error &error) {
		throw std::system_error{error.code(), slot.origin + ": " + error_text(error)};
	}
	configured_.insert(slot.spec.name);
}

bool region_service::matches(const slot_spec &spec) const
{
	const auto index = table_->find(spec.name);

	if (!index)
		return false;
	const kvmchan_slot &slot = table_->slots()[*index];
	const bool channel = spec.kind == KVMCHAN_KIND_CHANNEL;

	return slot.kind == static_cast<__u32>(spec.kind) && (!channel || slot.mode == static_cast<__u32>(spec.mode)) &&
	       std::equal(spec.side.begin(), spec.side.end(), slot.side) && slot.data_size[0] == spec.size[0] &&
	       (!channel || slot.data_size[1] == spec.size[1]);
}

void region_service::start()
{
	for (auto &each : acceptors_)
		each->start();
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

	std::error_code ec;

	if (memory_.created() && !config_.keep_memory) {
		if (config_.memory == memory_kind::shm)
			memory::unlink_shm(config_.memory_name, ec);
		else if (config_.memory == memory_kind::file)
			std::filesystem::remove(config_.memory_name, ec);
	}
	reaper_.reset();
	table_.reset();
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
	peer *const as = peers_.join(fresh);

	if (!as) {
		spdlog::warn("region {}: refused pid {}: no ivshmem ID is free", config_.name, who.pid);
		return;
	}
	++clients_;
	begin(*as, std::move(connection), who, false);
	tell_others(*as, true, fresh);
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
} catch (const std::exception &error) {
	spdlog::warn("region {}: refused pid {}: {}", config_.name, who.pid, error.what());
}

void region_service::begin(peer &as, unique_fd connection, const peer_credentials &who, bool is_vm)
{
	const auto session = std::make_shared<client_session>(
		io_, std::move(connection), who, config_.client_deadline,
		[this](client_session &ending, const std::string &why) { ended(ending, why); });

	session->id = as.id;
	session->joined = ++tick_;
	session->is_vm = is_vm;
	as.session = session.get();
	sessions_.push_back(session);
	queue_burst(*session);
	spdlog::info("region {}: peer {} is {}{} (pid {}, uid {})", config_.name, as.id, is_vm ? "VM " : "a client",
	             as.vm, who.pid, who.uid);
	session->start();
	session->flush();
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
		session->flush();
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
	++tick_;
	if (!session.is_vm) {
		--clients_;
		tell_others(*as, false, false);
	}
	peers_.leave(*as, tick_);
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
}

void region_service::scan_locks()
{
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
