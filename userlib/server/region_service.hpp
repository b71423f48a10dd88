// SPDX-License-Identifier: MIT
// One region that is being served: memory, table, peers and sockets.
#ifndef KVMCHAN_SERVER_REGION_SERVICE_HPP
#define KVMCHAN_SERVER_REGION_SERVICE_HPP

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <nlohmann/json_fwd.hpp>

#include "access_list.hpp"
#include "acceptor.hpp"
#include "client_session.hpp"
#include "config.hpp"
#include "handover_state.hpp"
#include "manager.hpp"
#include "manager_lock.hpp"
#include "manager_reaper.hpp"
#include "mapping_guard.hpp"
#include "memory.hpp"
#include "peer_table.hpp"

namespace kvmchan {

/**
 * Serves one region on the socket for host processes (and for any client, as
 * QEMU's example server does) and on one socket for each configured VM.
 *
 * What QEMU cannot bear, and how it is kept from it:
 *  - A peer that joins under the ID of one that left corrupts QEMU's heap, and a
 *    device_del after a peer joined and left crashes it. A VM's peer never
 *    leaves, and a client on a VM's socket is never told that anybody left.
 *  - A missing message shifts all later vectors: none is ever dropped.
 *  - Vectors that come late abort it under KVM: all are in the first burst.
 *
 * Used from the event loop's thread only, as is all of the server. Functions
 * that change something throw std::system_error.
 */
class region_service {
public:
	/**
	 * Opens memory and sockets, and formats or adopts the region; or goes on
	 * with what a former server left of it. @p tag: see handover.
	 */
	region_service(asio::io_context &io, const region_config &config, unsigned tag = 0,
	               std::optional<inherited_region> from = std::nullopt);
	region_service(const region_service &) = delete;
	region_service &operator=(const region_service &) = delete;
	~region_service() { stop(); }

	/** Begins to accept. */
	void start();
	/** Ends all connections, removes the sockets and the memory's name. */
	void stop() noexcept;
	/** Closes all, and leaves it as it is to those who have descriptors of it. */
	void leave() noexcept;

	static region_shape shape_of(const region_config &config);
	/**
	 * All that the next server needs. @p exact: nothing will be sent any more;
	 * otherwise of a client for whom messages wait it is only said that they do.
	 */
	region_state save(fd_names &fds, bool exact) const;
	/** Called before and after messages are sent that tell of a change. */
	void when_changed(std::function<void()> handler) { at_change_ = std::move(handler); }
	unsigned tag() const noexcept { return tag_; }

	/** Adds a slot, and rings vector 0 of all peers. */
	void add_slot(const slot_spec &spec);
	void remove_slot(const std::string &name);
	/** Makes the slots that come from the configuration those of @p wanted. */
	void apply(const region_config &wanted);

	/** Rings a vector of a peer; throws when there is none such. */
	void ring(std::uint32_t peer, std::uint32_t vector);

	const region_config &config() const noexcept { return config_; }
	const access_list &control_access() const noexcept { return control_access_; }
	nlohmann::json status() const;
	/** Resolves sides that are given by name, as complete() does. */
	void resolve(slot_config &slot) const;

private:
	void open();
	void open_memory();
	void open_table(bool inherited);
	void add_configured(const slot_config &slot);
	bool matches(const slot_spec &spec) const;
	void share_memory();
	void listen(const std::filesystem::path &path, std::optional<std::uint16_t> vm, inherited_region *from = nullptr);
	void adopt_table(bool inherited);

	void restore(inherited_region from);
	void restore_table();
	void restore_peers(inherited_region &from);
	ivshmem::shared_fd queued_fd(const std::string &name, inherited_region &from);
	void restore_session(const peer_state &state, inherited_region &from);
	void resume();
	peer_state save_peer(const peer &entry, fd_names &fds, bool exact) const;
	void save_queue(const client_session &session, peer_state &state, fd_names &fds) const;

	void admit_client(unique_fd connection, const peer_credentials &who);
	void admit_vm(std::uint16_t id, unique_fd connection, const peer_credentials &who);
	void begin(peer &as, unique_fd connection, const peer_credentials &who, bool is_vm);
	client_session &add_session(peer &as, unique_fd connection, const peer_credentials &who, bool is_vm,
	                            std::uint64_t joined);
	void queue_burst(client_session &to);
	void send_all();
	void changed();
	void departed(peer &gone, bool is_vm);
	void tell_others(const peer &about, bool joined, bool fresh);
	void ended(client_session &session, const std::string &why);

	void ring_bells(const std::vector<bell_address> &bells);
	void ring_all();
	void scan_locks();
	void arm_scan();

	asio::io_context &io_;
	region_config config_;
	unsigned tag_;
	access_list access_;
	access_list control_access_;
	memory memory_;
	std::atomic<int> memory_error_{0};
	detail::mapping_guard guard_;
	ivshmem::shared_fd memory_fd_;
	manager_lock lock_;
	bool owns_memory_ = false;	/* its name goes when we end */
	std::optional<manager> table_;
	std::optional<manager_reaper> reaper_;
	peer_table peers_;
	std::uint64_t tick_ = 0;
	std::size_t clients_ = 0;
	bool loss_said_ = false;
	std::vector<std::unique_ptr<acceptor>> acceptors_;
	std::vector<std::shared_ptr<client_session>> sessions_;
	std::set<std::string> configured_;
	std::vector<std::uint16_t> lost_;	/* peers that a former server left, without a client */
	std::function<void()> at_change_;
	asio::steady_timer scan_timer_;
};

} // namespace kvmchan

#endif
