// SPDX-License-Identifier: MIT
// C++: regions of shared memory, as processes on the host use them.
#ifndef KVMCHAN_REGION_API_HPP
#define KVMCHAN_REGION_API_HPP

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kvmchan/error.hpp"
#include "kvmchan/kvmchan.h"

namespace kvmchan::inline v1 {

enum class slot_kind : std::uint32_t { free = 0, channel = 1, memory = 2 };
enum class channel_mode : std::uint32_t { stream = 0, packet = 1 };

/** Who may be a side, beside an ivshmem ID from 0 to 65535. */
inline constexpr std::uint32_t side_host = KVMCHAN_SIDE_HOST;
inline constexpr std::uint32_t side_any = KVMCHAN_SIDE_ANY;

/** How to attach to a region. */
struct attach_options {
	/** For a server's first answer. */
	std::chrono::nanoseconds timeout = std::chrono::seconds{5};
	/** See KVMCHAN_REGION_GUARD. */
	bool guard = false;
};

/**
 * One shared memory with its table of channels; see kvmchan.h. Move-only. The
 * functions that make one throw std::system_error, whose text says what to do.
 */
class region {
public:
	/** Through the socket of an ivshmem server: with doorbells. Waits for it at most for the time-out. */
	static region attach(const std::filesystem::path &socket, const attach_options &options = {})
	{
		return make(options, [&](auto *o, auto **out) { return kvmchan_region_attach(socket.c_str(), o, out); });
	}

	/** By the name of a POSIX shared memory object, or a path: polling. */
	static region open(const std::string &name_or_path, const attach_options &options = {})
	{
		return make(options, [&](auto *o, auto **out) { return kvmchan_region_open(name_or_path.c_str(), o, out); });
	}

	/** By a descriptor of the memory, which stays the caller's: polling. */
	static region adopt(int fd, const attach_options &options = {})
	{
		return make(options, [&](auto *o, auto **out) { return kvmchan_region_adopt(fd, o, out); });
	}

	kvmchan_region_info info() const
	{
		kvmchan_region_info out{};

		out.struct_size = sizeof(out);
		if (const int error = kvmchan_region_describe(handle_.get(), &out))
			internal::throw_opening(error);
		return out;
	}

	/** Everything in the table, as it is now. */
	std::vector<kvmchan_slot_info> slots() const
	{
		std::vector<kvmchan_slot_info> list;

		for (std::uint32_t index = 0;; ++index) {
			kvmchan_slot_info slot{};

			slot.struct_size = sizeof(slot);
			const int found = kvmchan_region_slot(handle_.get(), index, &slot);

			if (found == -ERANGE)
				return list;
			if (found < 0)
				internal::throw_opening(found);
			if (found)
				list.push_back(slot);
		}
	}

	/** The ivshmem peers that there are beside us. Throws not_connected without a server. */
	std::vector<std::uint16_t> peers() const
	{
		std::vector<std::uint16_t> ids(65536);

		ids.resize(static_cast<std::size_t>(
			internal::checked(kvmchan_region_peers(handle_.get(), ids.data(), ids.size()), "peers: only a region that was attached through a server has them")));
		return ids;
	}

	/** Rings a peer: no_such_device_or_address when it or the vector is not there. */
	void ring(std::uint16_t peer, std::uint16_t vector)
	{
		internal::checked(kvmchan_region_ring(handle_.get(), peer, vector),
		                  "ring: needs a server, and a peer and vector that are there");
	}

	/** For the C interface; stays this object's. */
	kvmchan_region *c_handle() const noexcept { return handle_.get(); }

private:
	struct closer {
		void operator()(kvmchan_region *handle) const noexcept { kvmchan_region_close(handle); }
	};

	template <typename Make>
	static region make(const attach_options &options, Make call)
	{
		kvmchan_region_options c{};
		kvmchan_region *out = nullptr;

		c.struct_size = sizeof(c);
		c.flags = options.guard ? KVMCHAN_REGION_GUARD : 0;
		c.timeout_ns = options.timeout.count();
		if (const int error = call(&c, &out))
			internal::throw_opening(error);
		return region{out};
	}

	explicit region(kvmchan_region *handle) noexcept : handle_{handle} {}

	std::unique_ptr<kvmchan_region, closer> handle_;
};

/** A channel or memory block to make. */
struct new_slot {
	std::string name;
	slot_kind kind = slot_kind::channel;
	channel_mode mode = channel_mode::stream;
	/** Who may be side 0 and side 1. */
	std::uint32_t side[2] = {side_host, side_any};
	/** Of the ring that each side writes; memory: the block, and 0. */
	std::uint64_t size[2] = {64 * 1024, 64 * 1024};
};

/** A region to make. */
struct new_region {
	std::uint64_t size = 16 * 1024 * 1024;
	/** Room in the table; 0: by size. */
	std::uint32_t table_slots = 0;
	/** Format again what is formatted already. */
	bool replace = false;
	std::vector<new_slot> slots{};
};

namespace internal {

template <typename Create>
void create(const new_region &wanted, Create call)
{
	std::vector<kvmchan_slot_options> slots;
	kvmchan_create_options options{};

	for (const new_slot &slot : wanted.slots)
		slots.push_back({sizeof(kvmchan_slot_options),
		                 slot.name.c_str(),
		                 static_cast<std::uint32_t>(slot.kind),
		                 static_cast<std::uint32_t>(slot.mode),
		                 {slot.side[0], slot.side[1]},
		                 {slot.size[0], slot.size[1]}});
	options.struct_size = sizeof(options);
	options.size = wanted.size;
	options.slots = wanted.table_slots;
	options.replace = wanted.replace;
	options.slot = slots.data();
	options.slot_count = slots.size();
	if (const int error = call(&options))
		throw_opening(error);
}

} // namespace internal

/**
 * Makes a region without a server in a POSIX shared memory object or a file,
 * for QEMU's ivshmem-plain or for processes on one host. Throws
 * std::system_error: file_exists when it is formatted already.
 */
inline void create_region(const std::string &name_or_path, const new_region &wanted)
{
	internal::create(wanted, [&](auto *o) { return kvmchan_region_create(name_or_path.c_str(), o); });
}

/** The same in memory that the caller has; its size counts. */
inline void format_region(int fd, const new_region &wanted)
{
	internal::create(wanted, [&](auto *o) { return kvmchan_region_format(fd, o); });
}

} // namespace kvmchan::inline v1

#endif
