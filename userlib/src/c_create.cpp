// SPDX-License-Identifier: MIT
// The C API's way to make a region without a server.
#include <cerrno>
#include <optional>
#include <vector>

#include <unistd.h>

#include "c_objects.hpp"
#include "failure.hpp"
#include "manager.hpp"
#include "manager_lock.hpp"
#include "memory.hpp"

using namespace kvmchan;
using namespace kvmchan::detail;

namespace {

slot_spec to_spec(const kvmchan_slot_options &from)
{
	kvmchan_slot_options given{};
	slot_spec spec;

	if (!take_options(&from, given) || !given.name)
		fail(EINVAL, "slot: no name, or a bad struct_size");
	spec.name = given.name;
	spec.kind = static_cast<kvmchan_kind>(given.kind);
	spec.mode = static_cast<kvmchan_mode>(given.mode);
	spec.side = {given.side[0], given.side[1]};
	spec.size = {given.size[0], given.size[1]};
	return spec;
}

/* Nobody else may be writing the table, and what is there may be in use. */
void format_memory(memory &mem, const kvmchan_create_options &options)
{
	std::error_code ec;
	const manager_lock lock = manager_lock::acquire(mem.fd(), ec);

	if (ec)
		throw std::system_error{ec, "the region is managed by a running server"};
	if (!options.replace && manager::is_formatted(mem.bytes()))
		fail(EEXIST, "the region is formatted already (replace it with --force, when nobody uses it)");
	manager table = manager::format(mem.bytes(), {options.slots, mem.created()});

	/* The caller's array is made of the caller's structure. */
	for (std::size_t i = 0; i < options.slot_count; ++i) {
		const auto *const at = reinterpret_cast<const std::byte *>(options.slot) + i * options.slot->struct_size;

		table.add(to_spec(*reinterpret_cast<const kvmchan_slot_options *>(at)));
	}
}

/* A half-made object is removed again. */
template <typename Remove>
void make_and_format(memory mem, const kvmchan_create_options &options, Remove remove)
{
	try {
		format_memory(mem, options);
	} catch (...) {
		if (mem.created())
			remove();
		throw;
	}
}

bool read_options(const kvmchan_create_options *from, kvmchan_create_options &to) noexcept
{
	return from && take_options(from, to) && (to.slot || !to.slot_count);
}

} // namespace

int kvmchan_region_create(const char *name_or_path, const kvmchan_create_options *options)
{
	kvmchan_create_options wanted{};

	if (!name_or_path || !*name_or_path || !read_options(options, wanted))
		return refuse("create: no name, or bad options");
	return guarded([&] {
		const std::string name = name_or_path;

		if (name.find('/', 1) == std::string::npos && !name.starts_with('.'))
			make_and_format(memory::create_shm(name, wanted.size), wanted, [&] {
				std::error_code ec;

				memory::unlink_shm(name, ec);
			});
		else
			make_and_format(memory::create_file(name, wanted.size), wanted, [&] { ::unlink(name.c_str()); });
		return 0;
	});
}

int kvmchan_region_format(int fd, const kvmchan_create_options *options)
{
	kvmchan_create_options wanted{};

	if (!read_options(options, wanted))
		return refuse("format: bad options");
	return guarded([&] {
		std::error_code ec;
		memory mem = memory::adopt(reopen(fd, ec));

		format_memory(mem, wanted);
		return 0;
	});
}
