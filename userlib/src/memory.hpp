// SPDX-License-Identifier: MIT
// The memory behind a region: created, opened or received, checked and mapped.
#ifndef KVMCHAN_MEMORY_HPP
#define KVMCHAN_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "unique_fd.hpp"

namespace kvmchan {

/** A mapping of a file's bytes; unmaps itself. Move-only. */
class mapping {
public:
	mapping() noexcept = default;
	mapping(mapping &&other) noexcept;
	mapping &operator=(mapping &&other) noexcept;
	~mapping() { reset(); }

	/** Maps the first @p size bytes of @p fd, shared, read-write. */
	mapping(int fd, std::size_t size, std::error_code &ec) noexcept : mapping{fd, 0, size, true, ec} {}
	/** Maps @p size bytes from @p offset, shared. */
	mapping(int fd, std::uint64_t offset, std::size_t size, bool writable, std::error_code &ec) noexcept;

	std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
	void reset() noexcept;

private:
	std::byte *data_ = nullptr;
	std::size_t size_ = 0;
};

/**
 * A region's memory: a descriptor and its mapping.
 *
 * memfd is the default: it is sealed against shrinking, growing and further
 * seals, so that no holder can make another one's access fault. Memory in
 * /dev/shm or in a directory cannot be sealed: whoever may open the file may
 * truncate it, and then every access by every holder is a SIGBUS.
 *
 * All functions that take an error_code do not throw; their twins throw
 * std::system_error naming the object. Sizes are in bytes, and of new memory a
 * power of two (is_region_size()).
 */
class memory {
public:
	memory() noexcept = default;

	/** New, zeroed, sealed, anonymous memory; @p name shows up in /proc only. */
	static memory create_memfd(const std::string &name, std::uint64_t size, std::error_code &ec) noexcept;
	static memory create_memfd(const std::string &name, std::uint64_t size);

	/**
	 * The POSIX shared memory object @p name (without a leading slash), made
	 * with mode 0660 and reserved in full where it does not exist. One that
	 * exists has to be of that size, or empty.
	 */
	static memory create_shm(const std::string &name, std::uint64_t size, std::error_code &ec) noexcept;
	static memory create_shm(const std::string &name, std::uint64_t size);

	/** The same for a file by path, for instance in a hugetlbfs directory. */
	static memory create_file(const std::filesystem::path &path, std::uint64_t size, std::error_code &ec) noexcept;
	static memory create_file(const std::filesystem::path &path, std::uint64_t size);

	/** New memory without a name in @p directory: a tmpfs or hugetlbfs mount. */
	static memory create_in(const std::filesystem::path &directory, std::uint64_t size,
	                        std::error_code &ec) noexcept;
	static memory create_in(const std::filesystem::path &directory, std::uint64_t size);

	/** What exists under a name or path, whole. */
	static memory open_shm(const std::string &name, std::error_code &ec) noexcept;
	static memory open_shm(const std::string &name);
	static memory open_file(const std::filesystem::path &path, std::error_code &ec) noexcept;
	static memory open_file(const std::filesystem::path &path);

	/**
	 * Takes a descriptor that came from somebody else. It has to be a regular
	 * file (memfd, tmpfs, hugetlbfs or any other) of region_size_min bytes at
	 * least, open for reading and writing; anything else is bad_descriptor,
	 * not_supported or invalid_argument.
	 */
	static memory adopt(unique_fd fd, std::error_code &ec) noexcept;
	static memory adopt(unique_fd fd);

	int fd() const noexcept { return fd_.get(); }
	std::uint64_t size() const noexcept { return mapping_.bytes().size(); }
	std::span<std::byte> bytes() const noexcept { return mapping_.bytes(); }
	explicit operator bool() const noexcept { return size() != 0; }

	/** Whether the kernel keeps everybody from shrinking it. */
	bool sealed() const noexcept;
	/** Whether this call made the object: then its name is ours to remove. */
	bool created() const noexcept { return created_; }

	/** Removes a name that create_shm() made. */
	static void unlink_shm(const std::string &name, std::error_code &ec) noexcept;

private:
	memory(unique_fd fd, bool created, std::error_code &ec) noexcept;

	unique_fd fd_;
	mapping mapping_;
	bool created_ = false;
};

/**
 * A new, close-on-exec file description of what @p fd refers to, through
 * /proc/self/fd: OFD locks belong to a description, so whoever wants his own
 * locks on a descriptor that was passed to him needs one of his own.
 */
unique_fd reopen(int fd, std::error_code &ec) noexcept;

} // namespace kvmchan

#endif
