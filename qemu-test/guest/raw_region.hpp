// SPDX-License-Identifier: MIT
/*
 * The whole region, to read and to scribble over: the memory of an ivshmem
 * device that has no driver.
 */
#pragma once

#include "node.hpp"
#include "session.h"
#include "table.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include <sys/mman.h>

namespace node {

class raw_region {
public:
	raw_region()
	{
		const auto device = idle_device();
		std::ofstream{device / "enable"} << 1;
		unique_fd fd{::open((device / "resource2").c_str(), O_RDWR | O_CLOEXEC)};
		if (!fd)
			fail("open " + (device / "resource2").string());
		const auto size = std::filesystem::file_size(device / "resource2");
		void *at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
		if (at == MAP_FAILED)
			fail("mmap of " + (device / "resource2").string());
		bytes_ = {static_cast<std::byte *>(at), size};
	}
	raw_region(const raw_region &) = delete;
	raw_region &operator=(const raw_region &) = delete;
	~raw_region() { ::munmap(bytes_.data(), bytes_.size()); }

	std::span<std::byte> bytes() const { return bytes_; }
	kvmchan_superblock &superblock() const { return *at<kvmchan_superblock>(0); }
	std::span<kvmchan_slot> slots() const
	{
		return {at<kvmchan_slot>(superblock().table_offset), superblock().slot_count};
	}
	kvmchan_slot &slot(std::string_view name) const
	{
		for (auto &each : slots()) {
			if (each.kind != KVMCHAN_KIND_FREE && name == std::string_view{each.name})
				return each;
		}
		fail("no slot " + std::string{name}, ENOENT);
	}

	/** The words of one side of a channel. */
	kvmchan_session_page &session(std::string_view name, unsigned side) const
	{
		return at<kvmchan_control>(slot(name).control)->side[side].session;
	}
	kvmchan_index_page &index(std::string_view name, unsigned side) const
	{
		return at<kvmchan_control>(slot(name).control)->side[side].index;
	}
	/** The ring that a side writes. */
	std::span<std::byte> ring(std::string_view name, unsigned side) const
	{
		const auto &s = slot(name);
		return bytes_.subspan(s.data[side], s.data_size[side]);
	}

private:
	static std::filesystem::path idle_device()
	{
		for (const auto &entry : std::filesystem::directory_iterator{"/sys/bus/pci/devices"}) {
			if (first_line(entry.path() / "vendor") == "0x1af4" &&
			    first_line(entry.path() / "device") == "0x1110" &&
			    !std::filesystem::exists(entry.path() / "driver"))
				return entry.path();
		}
		fail("no ivshmem device without driver", ENODEV);
	}
	template <typename T>
	T *at(std::uint64_t offset) const
	{
		return reinterpret_cast<T *>(bytes_.data() + offset);
	}

	std::span<std::byte> bytes_;
};

/** One aligned store, as a peer would do it. */
inline void poke(__le64 &word, std::uint64_t value)
{
	kvmchan_store_release(&word, value);
	kvmchan_mb();
}

inline std::uint64_t peek(const __le64 &word)
{
	return kvmchan_load_acquire(&word);
}

} // namespace node
