// SPDX-License-Identifier: MIT
// What is behind the opaque types of the C API, and how errors cross it.
#ifndef KVMCHAN_C_OBJECTS_HPP
#define KVMCHAN_C_OBJECTS_HPP

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <system_error>

#include "block_end.hpp"
#include "channel_end.hpp"
#include "kvmchan/kvmchan.h"
#include "region.hpp"

struct kvmchan_region {
	std::shared_ptr<kvmchan::detail::region> it;
};

struct kvmchan_channel {
	std::unique_ptr<kvmchan::detail::channel_end> it;
};

struct kvmchan_memory {
	std::unique_ptr<kvmchan::detail::block_end> it;
};

namespace kvmchan::detail {

/** Remembers @p text for kvmchan_error_text(). */
void remember_error(const char *text) noexcept;

/** Runs @p body; no exception leaves it. Returns its value or a negated error. */
template <typename Body>
int guarded(Body body) noexcept
{
	try {
		return body();
	} catch (const std::bad_alloc &) {
		remember_error("out of memory");
		return -ENOMEM;
	} catch (const std::system_error &error) {
		remember_error(error.what());
		/* Both categories that the library uses have errno values. */
		return error.code().value() > 0 ? -error.code().value() : -EIO;
	} catch (const std::exception &error) {
		remember_error(error.what());
		return -EIO;
	}
}

/** A refusal because of an argument. */
int refuse(const char *text) noexcept;

/**
 * Copies a caller's structure that begins with struct_size: what is newer than
 * the caller's header stays at its default. False for a size that makes no sense.
 */
template <typename T>
bool take_options(const T *from, T &to) noexcept
{
	if (!from)
		return true;
	if (from->struct_size < sizeof(std::size_t) || from->struct_size > sizeof(T))
		return false;
	std::memcpy(&to, from, from->struct_size);
	return true;
}

/** The same towards the caller: fills in what he knows of. */
template <typename T>
bool give_struct(T &from, T *to) noexcept
{
	if (!to || to->struct_size < sizeof(std::size_t))
		return false;
	const std::size_t size = std::min(to->struct_size, sizeof(T));

	from.struct_size = to->struct_size;
	std::memcpy(to, &from, size);
	return true;
}

} // namespace kvmchan::detail

#endif
