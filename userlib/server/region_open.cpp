// SPDX-License-Identifier: MIT
// How a region gets its sockets, its memory and its table.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "region_service.hpp"

namespace kvmchan {

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
		open_table(false);
}

void region_service::listen(const std::filesystem::path &path, std::optional<std::uint16_t> vm, inherited_region *from)
{
	const unsigned which = vm ? 2U + *vm : 0;
	unix_listener listener =
		from ? unix_listener::adopt(path, config_.mode, from->take(socket_fd_name(tag_, which)),
	                                    from->take(lock_fd_name(tag_, which)))
		     : unix_listener::listen(path, config_.mode);

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
	owns_memory_ = memory_.created() && !config_.keep_memory;
	share_memory();
}

/* A description of its own: the clients' locks shall not be ours. */
void region_service::share_memory()
{
	std::error_code ec;

	/* Who truncates it ends nobody but the region. */
	if (!memory_.sealed())
		guard_ = detail::mapping_guard{memory_.bytes(), memory_error_};
	memory_fd_ = std::make_shared<const unique_fd>(reopen(memory_.fd(), ec));
	if (ec)
		throw std::system_error{ec, "reopening the memory of region \"" + config_.name + "\""};
}

void region_service::open_table(bool inherited)
{
	if (!memory_.created() && manager::is_formatted(memory_.bytes())) {
		adopt_table(inherited);
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

/* Peers may have written over the memory of a region that was left to us. */
void region_service::adopt_table(bool inherited)
try {
	table_ = manager::adopt(memory_.bytes());
} catch (const std::system_error &error) {
	if (!inherited)
		throw;
	spdlog::error("region {}: its table was damaged and is made anew: {}", config_.name, error.what());
	table_ = manager::format(memory_.bytes(), {config_.table_slots, false});
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

} // namespace kvmchan
