// SPDX-License-Identifier: MIT
#pragma once

#include "agent.hpp"
#include "control.hpp"
#include "guest.hpp"
#include "network.hpp"
#include "profile.hpp"
#include "region_server.hpp"
#include "temp_dir.hpp"
#include "unique_fd.hpp"

#include <kvmchan/memory.hpp>
#include <kvmchan/region.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/** One boot of a guest that has an end of everything that is measured. */
class machine {
public:
	/** With @p more devices, over which what is numbered is spread; @p profiled may be null. */
	machine(unsigned cpus, unsigned more, profile *profiled);

	harness::guest &vm() { return *vm_; }
	bench::agent &agent() { return *agent_; }
	/** The regions in turn, as a channel's number says: the first one has what is there once. */
	const kvmchan::region &region(std::size_t number) const { return regions_[number % regions_.size()]; }
	harness::region_server &server(std::size_t number) { return *servers_[number % servers_.size()]; }
	/** Adds a channel of each `prefix`0, 1, ... up to so many, over all devices; returns when the guest has them. */
	void add_channels(const std::string &prefix, std::size_t count, const std::string &size);
	void remove_channels(const std::string &prefix, std::size_t count);
	/** The region that has only a doorbell. */
	const harness::region_server &bell_server() const { return bells_; }
	control &words() const { return *reinterpret_cast<control *>(words_->bytes().data()); }

	const std::vector<network> &networks() const { return networks_; }
	/** QEMU's end of the virtio-serial port. */
	std::filesystem::path serial_socket() const { return dir_ / "serial"; }
	/** For the guest to connect to, where the host can do vsock. */
	const kvmchan::unique_fd &vsock() const { return vsock_; }
	/** What this host cannot do, and why. */
	const std::vector<std::pair<std::string, std::string>> &skipped() const { return skipped_; }

	/** A parameter of kvmchan.ko. */
	void set_parameter(const std::string &name, const std::string &value);
	/** The sum of a counter over all channels of the guest whose names match a shell pattern. */
	std::uint64_t counter(const std::string &name, const std::string &channels = "*");

	/** Ends the agent and powers off; throws if the guest or its kernel complains. */
	void finish();
	/** For a program that ends at once: no process and no network card stays. */
	void abandon();

	static constexpr std::size_t many = 64;

private:
	void make_networks();
	void make_vsock();
	void prepare_guest();
	void bind_doorbell();
	void await_nodes(std::size_t count);
	std::size_t nodes();

	harness::temp_dir dir_{"bench"};
	std::vector<std::unique_ptr<harness::region_server>> servers_;
	harness::region_server bells_;
	std::vector<network> networks_;
	kvmchan::unique_fd vsock_;
	std::vector<std::pair<std::string, std::string>> skipped_;
	std::optional<harness::guest> vm_;
	std::vector<kvmchan::region> regions_;
	std::optional<kvmchan::memory_block> words_;
	std::optional<bench::agent> agent_;
};

} // namespace bench
