// SPDX-License-Identifier: MIT
#include "log_scan.hpp"

#include <algorithm>
#include <array>

namespace harness {

namespace {

/*
 * Each is a beginning or a fixed part of what the kernel prints when it finds
 * itself in the wrong. "possible recursive" and the like are lockdep's.
 */
constexpr std::array<std::string_view, 28> bad_parts{
	"BUG:", "kernel BUG at", "WARNING:", "Oops", "Call Trace:", "general protection fault",
	"Kernel panic", "Unable to handle kernel", "double fault", "stack segment:",
	"possible circular locking", "possible recursive locking", "possible irq lock inversion",
	"inconsistent lock state", "suspicious RCU usage", "held lock freed", "INFO: rcu",
	"self-detected stall", "detected stalls on", "soft lockup", "hung_task", "blocked for more than",
	"kmemleak:", "refcount_t:", "scheduling while atomic", "Misaligned",
	"nobody cared", "[kvmchan] enqueued on deprecated workqueue",
};

/*
 * Lines that contain such a part and mean nothing bad. The race: fcntl(F_SETFL)
 * looks at a file's flags without the lock under which the other one, in the
 * same system call of another thread, has the driver's fasync() change them.
 */
constexpr std::array<std::string_view, 4> harmless_parts{
	"kmemleak: Kernel memory leak detector",
	"kmemleak: Automatic memory scanning thread",
	"Kernel command line:",
	"KCSAN: data-race in __x64_sys_fcntl / fasync_",
};

bool contains_any(std::string_view line, auto &parts)
{
	return std::ranges::any_of(
		parts, [&](std::string_view part) { return line.find(part) != line.npos; });
}

bool complains(std::string_view line)
{
	return contains_any(line, bad_parts) && !contains_any(line, harmless_parts);
}

/*
 * Linux has data races that KCSAN sees, in its timers and virtio rings for
 * instance. A report, which ends with a double line, counts when the module is
 * in one of its stacks.
 */
bool is_somebody_elses_race(std::string_view line, std::string_view rest)
{
	return line.find("BUG: KCSAN:") != line.npos && rest.substr(0, rest.find("=====")).find("[kvmchan]") == rest.npos;
}

} // namespace

std::vector<std::string> kernel_complaints(std::string_view log)
{
	std::vector<std::string> found;
	while (!log.empty()) {
		const auto end = std::min(log.find('\n'), log.size());
		auto line = log.substr(0, end);
		if (line.ends_with('\r'))
			line.remove_suffix(1);
		log.remove_prefix(std::min(end + 1, log.size()));
		if (complains(line) && !is_somebody_elses_race(line, log))
			found.emplace_back(line);
	}
	return found;
}

std::string last_lines(std::string_view text, std::size_t lines)
{
	auto at = text.size();
	for (std::size_t n = 0; at > 0; --at) {
		if (text[at - 1] == '\n' && at != text.size() && ++n == lines)
			break;
	}
	return std::string{text.substr(at)};
}

} // namespace harness
