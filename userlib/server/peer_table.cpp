// SPDX-License-Identifier: MIT
#include "peer_table.hpp"

#include <system_error>

#include "client_session.hpp"
#include "doorbell.hpp"

namespace kvmchan {

std::vector<ivshmem::shared_fd> peer_table::make_bells() const
{
	std::vector<ivshmem::shared_fd> bells;

	bells.reserve(vectors_);
	while (bells.size() < vectors_) {
		std::error_code ec;
		unique_fd fd = make_doorbell(ec);

		if (ec)
			throw std::system_error{ec, "eventfd " + std::to_string(bells.size() + 1) + " of " +
			                                    std::to_string(vectors_) + " for a peer"};
		bells.push_back(std::make_shared<const unique_fd>(std::move(fd)));
	}
	return bells;
}

peer &peer_table::add_vm(std::uint16_t id, const std::string &name)
{
	peer made{id, name, make_bells(), nullptr};

	ids_.reserve(id);
	return peers_.insert_or_assign(id, std::move(made)).first->second;
}

peer &peer_table::restore(std::uint16_t id, const std::string &vm, std::vector<ivshmem::shared_fd> bells)
{
	ids_.reserve(id);
	return peers_.insert_or_assign(id, peer{id, vm, std::move(bells), nullptr}).first->second;
}

std::optional<std::uint64_t> peer_table::oldest_join() const
{
	std::optional<std::uint64_t> oldest;

	for (const auto &[id, entry] : peers_)
		if (entry.session && (!oldest || entry.session->joined < *oldest))
			oldest = entry.session->joined;
	return oldest;
}

peer *peer_table::join(bool &fresh)
{
	fresh = parked_.empty();
	if (!fresh) {
		peer &again = peers_.at(parked_.front());

		parked_.pop_front();
		/* What was rung for the former client is none of the new one's. */
		for (const auto &bell : again.bells)
			drain_doorbell(bell->get());
		return &again;
	}

	std::vector<ivshmem::shared_fd> bells = make_bells();
	const auto id = ids_.take(oldest_join());

	if (!id)
		return nullptr;
	return &peers_.insert_or_assign(*id, peer{*id, {}, std::move(bells), nullptr}).first->second;
}

void peer_table::leave(peer &gone, std::uint64_t tick)
{
	const std::uint16_t id = gone.id;

	gone.session = nullptr;
	if (!gone.vm.empty())
		return;
	if (keep_) {
		parked_.push_back(id);
		return;
	}
	peers_.erase(id);
	ids_.give_back(id, tick);
}

peer *peer_table::find(std::uint16_t id) noexcept
{
	const auto found = peers_.find(id);

	return found == peers_.end() ? nullptr : &found->second;
}

} // namespace kvmchan
