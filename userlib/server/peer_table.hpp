// SPDX-License-Identifier: MIT
// The peers of a region: their IDs and eventfds.
#ifndef KVMCHAN_SERVER_PEER_TABLE_HPP
#define KVMCHAN_SERVER_PEER_TABLE_HPP

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "id_pool.hpp"
#include "ivshmem_outbox.hpp"

namespace kvmchan {

class client_session;

/** An ID, its eventfds, and who has it now. */
struct peer {
	std::uint16_t id = 0;
	std::string vm;				/* its name; empty: not a VM's */
	std::vector<ivshmem::shared_fd> bells;
	client_session *session = nullptr;	/* null: nobody is there */
};

/**
 * A VM's peer exists from the start and for good: the same ID and the same
 * eventfds when its QEMU comes back.
 *
 * Where there are VMs, the peers of clients that left are kept as well and given
 * to the next client, because no QEMU may be told that a peer left (see
 * region_service). Otherwise their IDs go back to the pool.
 */
class peer_table {
public:
	/** @p vectors: eventfds of each peer. @p keep: keep the peers of clients. */
	peer_table(unsigned vectors, bool keep) : vectors_{vectors}, keep_{keep} {}

	/** Throws std::system_error when an eventfd cannot be made. */
	peer &add_vm(std::uint16_t id, const std::string &name);

	/**
	 * A peer for a new client; @p fresh tells that nobody knows it yet. Null
	 * when no ID is free. Throws as add_vm() does.
	 */
	peer *join(bool &fresh);
	/** Its client left at @p tick: the reference may be gone after this. */
	void leave(peer &gone, std::uint64_t tick);

	peer *find(std::uint16_t id) noexcept;
	/** A peer that a former server had, with its eventfds. */
	peer &restore(std::uint16_t id, const std::string &vm, std::vector<ivshmem::shared_fd> bells);
	id_pool &ids() noexcept { return ids_; }
	const id_pool &ids() const noexcept { return ids_; }
	std::deque<std::uint16_t> &parked() noexcept { return parked_; }
	const std::deque<std::uint16_t> &parked() const noexcept { return parked_; }

	std::map<std::uint16_t, peer> &all() noexcept { return peers_; }
	const std::map<std::uint16_t, peer> &all() const noexcept { return peers_; }

private:
	std::optional<std::uint64_t> oldest_join() const;
	std::vector<ivshmem::shared_fd> make_bells() const;

	unsigned vectors_;
	bool keep_;
	id_pool ids_;
	std::map<std::uint16_t, peer> peers_;
	std::deque<std::uint16_t> parked_;
};

} // namespace kvmchan

#endif
