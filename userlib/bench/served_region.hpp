// SPDX-License-Identifier: MIT
// A region with channels between two ends on the host, and its server.
#ifndef KVMCHAN_BENCH_SERVED_REGION_HPP
#define KVMCHAN_BENCH_SERVED_REGION_HPP

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "kvmchan/channel.hpp"
#include "kvmchan/region.hpp"
#include "server.hpp"

namespace kvmchan::bench {

/** A directory that goes with the object. */
class scratch_directory {
public:
	scratch_directory();
	scratch_directory(const scratch_directory &) = delete;
	scratch_directory &operator=(const scratch_directory &) = delete;
	~scratch_directory();

	const std::filesystem::path &path() const noexcept { return path_; }

private:
	std::filesystem::path path_;
};

/** What a region of a benchmark has: channels c0, c1 and so on, all alike. */
struct region_shape {
	channel_mode mode = channel_mode::stream;
	std::uint64_t ring = std::uint64_t{2} << 20;
	unsigned channels = 1;
	unsigned vectors = region_config{}.vectors;
	unsigned clients = region_config{}.max_clients;
};

/** The server's settings for it. */
region_config config_of(const region_shape &shape, const std::filesystem::path &socket);

/**
 * Served on a thread of this process; each side attaches to it once, as two
 * programs would. Doorbells, no polling.
 */
class served_region {
public:
	explicit served_region(const region_shape &shape);
	served_region(const served_region &) = delete;
	served_region &operator=(const served_region &) = delete;
	~served_region();

	const region &side(unsigned which) const { return *sides_[which]; }
	channel open(unsigned which, channel_options options = {}, unsigned index = 0) const;

private:
	scratch_directory directory_;
	server server_;
	std::thread thread_;
	std::unique_ptr<region> sides_[2];
};

/** Moves a byte each way, after which both ends know of each other. */
void connect(channel &a, channel &b);

} // namespace kvmchan::bench

#endif
