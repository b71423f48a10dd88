// SPDX-License-Identifier: MIT
#include "region.hpp"

#include <cerrno>

#include "failure.hpp"

namespace kvmchan::detail {
namespace {

/* Puts the region's name before what went wrong inside of it. */
template <typename Make>
auto naming(const std::string &what, Make make)
{
	try {
		return make();
	} catch (const std::system_error &error) {
		std::string text = error.what();
		const std::string tail = ": " + error.code().message();

		if (text.ends_with(tail))
			text.resize(text.size() - tail.size());
		throw std::system_error{error.code(), what + ": " + text};
	}
}

} // namespace

std::shared_ptr<region> region::attach(const std::string &socket, const region_options &options)
{
	ivshmem_client client = ivshmem_client::connect(socket, options.timeout);

	return naming("region at " + socket, [&] {
		memory mem = memory::adopt(client.take_memory());

		return std::make_shared<region>(std::move(mem), std::make_unique<region_bells>(std::move(client)), options);
	});
}

std::shared_ptr<region> region::open(const std::string &name_or_path, const region_options &options)
{
	const bool is_name = name_or_path.find('/', 1) == std::string::npos && !name_or_path.starts_with('.');
	std::error_code ec;
	memory mem;

	if (name_or_path.empty())
		fail(EINVAL, "region: empty name");
	if (is_name)
		mem = memory::open_shm(name_or_path, ec);
	/* "/file" and "file" may be files, too. */
	if (!mem && (!is_name || ec == std::errc::no_such_file_or_directory)) {
		std::error_code as_file;

		mem = memory::open_file(name_or_path, as_file);
		if (!is_name || as_file != std::errc::no_such_file_or_directory)
			ec = as_file;
	}
	if (!mem)
		throw std::system_error{ec, is_name ? "shared memory object \"" + name_or_path + "\"" : name_or_path};
	return naming("region " + name_or_path,
	              [&] { return std::make_shared<region>(std::move(mem), nullptr, options); });
}

std::shared_ptr<region> region::adopt(unique_fd fd, const region_options &options)
{
	return naming("region of a descriptor", [&] {
		return std::make_shared<region>(memory::adopt(std::move(fd)), nullptr, options);
	});
}

region::region(memory mem, std::unique_ptr<region_bells> bells, const region_options &options)
	: memory_{std::move(mem)}, bells_{std::move(bells)}
{
	if (options.guard && !memory_.sealed())
		guard_ = mapping_guard{memory_.bytes(), error_};
	snapshot_ = std::make_shared<const region_snapshot>(region_snapshot::take(memory_.bytes()));
}

std::shared_ptr<const region_snapshot> region::snapshot() const
{
	const std::lock_guard lock{mutex_};

	return snapshot_;
}

std::shared_ptr<const region_snapshot> region::refresh()
{
	auto known = snapshot();

	if (table_generation(memory_.bytes()) == known->generation())
		return known;
	auto fresh = std::make_shared<const region_snapshot>(region_snapshot::take(memory_.bytes()));
	const std::lock_guard lock{mutex_};

	snapshot_ = fresh;
	return fresh;
}

} // namespace kvmchan::detail
