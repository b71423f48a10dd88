// SPDX-License-Identifier: MIT
// What is written on command lines and in requests: sizes, --channel, --memory,
// and names in what is given to QEMU and libvirt.
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "config.hpp"
#include "memory_size.hpp"
#include "require.hpp"
#include "vm_options.hpp"

namespace kvmchan::fuzz {
namespace {

void size(std::string_view text)
{
	std::error_code ec, again;
	const std::uint64_t value = parse_size(text, ec);

	require(!ec || value == 0, "what is no size is 0");
	require(value <= INT64_MAX, "a size is an offset");
	require(parse_size(format_size(value), again) == value && !again, "a size is read as it is written");
	try {
		require(parse_size(text) == value && !ec, "both forms say the same");
	} catch (const std::system_error &error) {
		require(error.code() == ec, "both forms refuse the same");
	}
}

template <typename Parse>
void flag(Parse parse, std::string_view text)
{
	try {
		const slot_config slot = parse(text);

		require(text.starts_with(slot.spec.name), "a flag begins with a name");
		require(slot.spec.size[0] <= INT64_MAX && slot.spec.size[1] <= INT64_MAX, "sizes are offsets");
	} catch (const std::system_error &error) {
		require(!error_text(error).empty(), "a refusal says why");
	}
}

/* A comma would begin another option, a quote end the attribute. */
void names(std::string_view text)
{
	region_config region;

	region.name = text;
	const std::string path = "/" + std::string{text.substr(0, text.find('\0'))};
	const std::string options = qemu_options(region, path), element = libvirt_element(region, path);
	constexpr std::string_view before = ",path=", after = " -device ivshmem-doorbell,chardev=";
	const auto begin = options.find(before) + before.size(), end = options.rfind(after);
	std::string value;

	require(begin <= end, "the path is where it belongs");
	for (auto at = begin; at < end; ++at) {
		value += options[at];
		if (options[at] == ',')
			require(options[++at] == ',' && at < end, "a comma is doubled");
	}
	require(value == path, "QEMU reads the path that was given");
	require(std::string_view{element}.find('&') == std::string_view::npos || element.find(';') != std::string::npos,
	        "what XML cannot bear is escaped");
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	const std::string_view text{reinterpret_cast<const char *>(data), size};

	kvmchan::fuzz::size(text);
	kvmchan::fuzz::flag(kvmchan::parse_channel_flag, text);
	kvmchan::fuzz::flag(kvmchan::parse_memory_flag, text);
	kvmchan::fuzz::names(text);
	return 0;
}
