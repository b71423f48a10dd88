// SPDX-License-Identifier: MIT
#include "cpio.hpp"

#include "error.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include <sys/stat.h>

namespace harness {

namespace {

/** "newc": each field in eight hexadecimal digits; name and data padded to 4. */
void append_entry(std::string &to, unsigned inode, unsigned mode, unsigned major, unsigned minor,
                  std::string_view name, std::string_view data)
{
	const auto pad = [&to] { to.resize((to.size() + 3) & ~std::size_t{3}); };
	to += fmt::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
	                  inode, mode, 0, 0, 1, 0, data.size(), 0, 0, major, minor, name.size() + 1, 0);
	to += name;
	to += '\0';
	pad();
	to += data;
	pad();
}

std::string_view relative(std::string_view path)
{
	return path.starts_with('/') ? path.substr(1) : path;
}

} // namespace

void cpio_archive::add(std::string_view path, unsigned mode, std::string_view bytes, device node)
{
	add_parents(path);
	append_entry(bytes_, ++inode_, mode, node.major, node.minor, relative(path), bytes);
}

bool cpio_archive::has(std::string_view path) const
{
	return names_.find('\n' + std::string{path} + '\n') != std::string::npos;
}

void cpio_archive::add_parents(std::string_view path)
{
	const auto slash = relative(path).rfind('/');
	if (slash != std::string_view::npos)
		add_directory(relative(path).substr(0, slash));
}

void cpio_archive::add_directory(std::string_view path)
{
	const auto name = relative(path);
	if (has(name))
		return;
	add(name, S_IFDIR | 0755, {});
	names_ += std::string{name} + '\n';
}

void cpio_archive::add_file(std::string_view path, std::string_view bytes, unsigned mode)
{
	add(path, S_IFREG | mode, bytes);
}

void cpio_archive::add_file_from(std::string_view path, const std::filesystem::path &source,
                                 unsigned mode)
{
	std::ifstream in{source, std::ios::binary};
	if (!in)
		throw error{"initramfs: cannot read " + source.string()};
	const std::string bytes{std::istreambuf_iterator<char>{in}, {}};
	add_file(path, bytes, mode);
}

void cpio_archive::add_symlink(std::string_view path, std::string_view target)
{
	add(path, S_IFLNK | 0777, target);
}

void cpio_archive::add_device(std::string_view path, unsigned major, unsigned minor, unsigned mode)
{
	add(path, S_IFCHR | mode, {}, {major, minor});
}

std::string cpio_archive::finish() const
{
	auto whole = bytes_;
	append_entry(whole, 0, 0, 0, 0, "TRAILER!!!", {});
	return whole;
}

} // namespace harness
