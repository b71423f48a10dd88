// SPDX-License-Identifier: MIT
// Memory that a server made under a name, and removes.
#ifndef KVMCHAN_SERVER_NAMED_MEMORY_HPP
#define KVMCHAN_SERVER_NAMED_MEMORY_HPP

#include <filesystem>
#include <string>
#include <system_error>

#include "config.hpp"
#include "memory.hpp"

namespace kvmchan {

/** Removes the name, if memory of that kind has one. Who has it mapped keeps it. */
inline void remove_named_memory(memory_kind kind, const std::string &name) noexcept
{
	std::error_code ec;

	if (kind == memory_kind::shm)
		memory::unlink_shm(name, ec);
	else if (kind == memory_kind::file)
		std::filesystem::remove(name, ec);
}

} // namespace kvmchan

#endif
