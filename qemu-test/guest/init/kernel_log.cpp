// SPDX-License-Identifier: MIT
#include "kernel_log.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace guest_init {

kernel_log::kernel_log() : fd_{open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)} {}

namespace {

/* The kernel writes a newline or other control character as "\x0a". */
std::string unescaped(std::string_view text)
{
	std::string plain;
	while (!text.empty()) {
		unsigned value = 0;
		const bool escape = text.starts_with("\\x") && text.size() >= 4 &&
		                    std::from_chars(&text[2], &text[2] + 2, value, 16).ptr == &text[2] + 2;
		plain += escape ? static_cast<char>(value) : text[0];
		text.remove_prefix(escape ? 4 : 1);
	}
	return plain;
}

} // namespace

/*
 * A record is "priority,sequence,microseconds,flags;text\n KEY=value\n...".
 * EPIPE says that records were overwritten before they were read; the next
 * read continues at the oldest one left.
 */
std::optional<std::string> kernel_log::next()
{
	char record[8192];
	const auto n = read(fd_.get(), record, sizeof record);
	if (n < 0 && errno == EPIPE)
		return "init: kernel log overrun, messages were lost\n";
	if (n <= 0)
		return std::nullopt;
	const std::string_view text{record, static_cast<std::size_t>(n)};
	unsigned priority = 0;
	unsigned long long sequence = 0, microseconds = 0;
	const auto semicolon = text.find(';');
	if (semicolon == text.npos ||
	    std::sscanf(record, "%u,%llu,%llu", &priority, &sequence, &microseconds) != 3)
		return std::string{text};
	char stamp[64];
	std::snprintf(stamp, sizeof stamp, "[%5llu.%06llu] ", microseconds / 1'000'000,
	              microseconds % 1'000'000);
	const auto body = text.substr(semicolon + 1);
	return stamp + unescaped(body.substr(0, body.find('\n'))) + '\n';
}

} // namespace guest_init
