// SPDX-License-Identifier: MIT
// How a region goes from one server to the next.
#include <map>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "doorbell.hpp"
#include "region_service.hpp"

namespace kvmchan {
namespace {

[[noreturn]] void unfit(const std::string &why)
{
	throw std::system_error{std::make_error_code(std::errc::bad_message), why};
}

ivshmem::shared_fd share(unique_fd fd)
{
	return std::make_shared<const unique_fd>(std::move(fd));
}

} // namespace

region_shape region_service::shape_of(const region_config &config)
{
	region_shape shape;

	shape.name = config.name;
	shape.socket = config.socket.string();
	shape.memory_name = config.memory_name;
	shape.size = config.size;
	shape.memory = static_cast<int>(config.memory);
	shape.vectors = config.vectors;
	shape.raw = config.raw;
	for (const vm_config &vm : config.vms)
		shape.vms.push_back({vm.name, *vm.id, vm.socket.string()});
	return shape;
}

/* ---- leaving ---- */

region_state region_service::save(fd_names &fds, bool exact) const
{
	region_state state;

	state.shape = shape_of(config_);
	state.tag = tag_;
	state.made_memory = owns_memory_;
	state.tick = tick_;
	state.next_id = peers_.ids().next();
	state.resting.assign(peers_.ids().resting().begin(), peers_.ids().resting().end());
	state.parked.assign(peers_.parked().begin(), peers_.parked().end());
	state.configured.assign(configured_.begin(), configured_.end());
	fds[memory_fd_name(tag_)] = memory_.fd();
	fds[manager_fd_name(tag_)] = lock_.fd();
	for (std::size_t i = 0; i < acceptors_.size(); ++i) {
		const unsigned which = i == 0 ? 0 : 2U + *config_.vms[i - 1].id;

		fds[socket_fd_name(tag_, which)] = acceptors_[i]->listener().fd();
		fds[lock_fd_name(tag_, which)] = acceptors_[i]->listener().lock_fd();
	}
	for (const auto &[id, entry] : peers_.all())
		state.peers.push_back(save_peer(entry, fds, exact));
	return state;
}

peer_state region_service::save_peer(const peer &entry, fd_names &fds, bool exact) const
{
	const client_session *const session = entry.session;
	peer_state state;

	state.id = entry.id;
	state.vm = entry.vm;
	for (std::size_t v = 0; v < entry.bells.size(); ++v)
		fds[bell_fd_name(tag_, entry.id, v)] = entry.bells[v]->get();
	/* Who is being ended has no socket any more: the next server sees it go. */
	if (!session)
		return state;
	state.connected = true;
	state.joined = session->joined;
	if (session->fd() < 0)
		return state;
	fds[client_fd_name(tag_, session->joined)] = session->fd();
	state.sending = !exact && session->queued() != 0;
	if (exact)
		save_queue(*session, state, fds);
	return state;
}

void region_service::save_queue(const client_session &session, peer_state &state, fd_names &fds) const
{
	std::map<const unique_fd *, std::string> names{{memory_fd_.get(), client_memory_fd_name(tag_)}};
	std::size_t index = 0;

	for (const auto &[id, entry] : peers_.all())
		for (std::size_t v = 0; v < entry.bells.size(); ++v)
			names.emplace(entry.bells[v].get(), bell_fd_name(tag_, id, v));
	state.head_sent = session.outbox().head_sent();
	for (const auto &message : session.outbox().queue()) {
		message_state saved{ivshmem::decode(message.bytes), {}};

		if (message.fd) {
			const auto [name, left] = names.try_emplace(message.fd.get());

			/* Of a peer that has left. */
			if (left)
				name->second = queued_fd_name(tag_, session.joined, index++);
			saved.fd = name->second;
			if (message.fd != memory_fd_)
				fds[saved.fd] = message.fd->get();
		}
		state.queue.push_back(std::move(saved));
	}
}

void region_service::leave() noexcept
{
	scan_timer_.cancel();
	for (auto &each : acceptors_)
		each->leave();
	for (auto &session : sessions_)
		session->close();
	sessions_.clear();
	reaper_.reset();
	table_.reset();
	lock_ = {};
	guard_ = {};
	memory_ = {};
}

/* ---- coming ---- */

void region_service::restore(inherited_region from)
{
	listen(config_.socket, std::nullopt, &from);
	for (const vm_config &vm : config_.vms)
		listen(vm.socket, vm.id, &from);
	memory_ = memory::adopt(from.take(memory_fd_name(tag_)));
	if (memory_.size() != config_.size)
		unfit(fmt::format("memory of {} bytes instead of {}", memory_.size(), config_.size));
	lock_ = manager_lock::adopt(from.take(manager_fd_name(tag_)));
	share_memory();
	restore_peers(from);
	configured_ = {from.state.configured.begin(), from.state.configured.end()};
	if (!config_.raw)
		restore_table();
	owns_memory_ = from.state.made_memory;
	spdlog::info("region {}: went on with {} clients of a former server", config_.name, sessions_.size());
}

void region_service::restore_table()
{
	std::set<std::string> wanted;

	for (const slot_config &slot : config_.slots)
		wanted.insert(slot.spec.name);
	open_table(true);
	/* What the configuration does not name any more, as a reload would do it. */
	std::erase_if(configured_, [&](const std::string &name) {
		if (wanted.contains(name))
			return false;
		if (table_->find(name))
			table_->remove(name);
		return true;
	});
}

void region_service::restore_peers(inherited_region &from)
{
	const region_state &state = from.state;

	tick_ = state.tick;
	for (const peer_state &each : state.peers) {
		std::vector<ivshmem::shared_fd> bells;

		for (std::size_t v = 0; v < config_.vectors; ++v)
			bells.push_back(share(from.take(bell_fd_name(tag_, each.id, v))));
		peers_.restore(each.id, each.vm, std::move(bells));
	}
	peers_.ids().restore(state.next_id, {state.resting.begin(), state.resting.end()});
	for (const std::uint16_t id : state.parked) {
		if (!peers_.find(id))
			unfit(fmt::format("there is no peer {}", id));
		peers_.parked().push_back(id);
	}
	for (const vm_config &vm : config_.vms)
		if (const peer *const entry = peers_.find(*vm.id); !entry || entry->vm != vm.name)
			unfit(fmt::format("peer {} is not VM {}", *vm.id, vm.name));
	for (const peer_state &each : state.peers)
		if (each.connected)
			restore_session(each, from);
}

/* Several messages may have one. */
ivshmem::shared_fd region_service::queued_fd(const std::string &name, inherited_region &from)
{
	if (name == client_memory_fd_name(tag_))
		return memory_fd_;
	for (const auto &[id, entry] : peers_.all())
		for (std::size_t v = 0; v < entry.bells.size(); ++v)
			if (bell_fd_name(tag_, id, v) == name)
				return entry.bells[v];
	return share(from.take(name));
}

void region_service::restore_session(const peer_state &state, inherited_region &from)
{
	peer &as = *peers_.find(state.id);
	const auto found = from.fds.find(client_fd_name(tag_, state.joined));
	std::error_code ec;

	clients_ += state.vm.empty() ? 1U : 0U;
	if (found == from.fds.end()) {
		lost_.push_back(state.id);
		return;
	}
	const peer_credentials who = unix_credentials(found->second.get(), ec);
	client_session &session = add_session(as, std::move(found->second), who, !state.vm.empty(), state.joined);

	if (state.sending) {
		session.close();
		lost_.push_back(state.id);
		return;
	}
	for (const message_state &message : state.queue) {
		if (message.fd.empty())
			session.push(message.value);
		else
			session.push(message.value, queued_fd(message.fd, from));
	}
	session.restore_head_sent(state.head_sent);
}

/* Those who went, or had to go, while no server was there; then all others. */
void region_service::resume()
{
	for (const std::uint16_t id : lost_) {
		peer &gone = *peers_.find(id);
		const bool is_vm = !gone.vm.empty();

		std::erase_if(sessions_, [&](const auto &session) { return session->id == id; });
		spdlog::info("region {}: peer {} is gone with the former server", config_.name, id);
		departed(gone, is_vm);
	}
	lost_.clear();
	for (const auto &session : sessions_)
		session->start();
	send_all();
	/* The configuration may be another one. */
	if (table_)
		ring_all();
}

} // namespace kvmchan
