// SPDX-License-Identifier: MIT
#include "kernel_log.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
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

/* The third of the numbers before the text. */
unsigned long long microseconds(std::string_view fields)
{
	unsigned long long value = 0;
	for (int skipped = 0; skipped < 2 && !fields.empty(); ++skipped)
		fields.remove_prefix(std::min(fields.find(',') + 1, fields.size()));
	std::from_chars(fields.data(), fields.data() + fields.size(), value);
	return value;
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
	const auto semicolon = std::min(text.find(';'), text.size());
	const auto time = microseconds(text.substr(0, semicolon));
	const auto body = text.substr(std::min(semicolon + 1, text.size()));
	char stamp[64];
	std::snprintf(stamp, sizeof stamp, "[%5llu.%06llu] ", time / 1'000'000, time % 1'000'000);
	return stamp + unescaped(body.substr(0, body.find('\n'))) + '\n';
}

} // namespace guest_init
