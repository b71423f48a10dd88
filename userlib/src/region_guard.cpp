// SPDX-License-Identifier: MIT
#include "region_guard.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>

#include <sys/mman.h>

#include "failure.hpp"

namespace kvmchan::detail {
namespace {

/* What the handler looks at: lock-free, and never freed. */
struct guard {
	std::atomic<std::byte *> start{nullptr};
	std::atomic<std::size_t> size{0};
	std::atomic<bool> lost{false};
	/* What is lost with it. */
	std::atomic<guard *> whole{nullptr};
};

static_assert(std::atomic<std::byte *>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr std::size_t guards_max = 256;

std::array<guard, guards_max> guards;
std::mutex guards_mutex;
struct sigaction previous;

guard *find_guard(const void *address) noexcept
{
	for (guard &entry : guards) {
		const std::byte *const start = entry.start.load(std::memory_order_acquire);
		const auto offset = reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(start);

		if (start && offset < entry.size.load(std::memory_order_relaxed))
			return &entry;
	}
	return nullptr;
}

void pass_on(int signal, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(signal, info, context);
	} else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
		/* The access is tried again, and ends the process. */
		::signal(SIGBUS, SIG_DFL);
	} else {
		previous.sa_handler(signal);
	}
}

void on_bus_error(int signal, siginfo_t *info, void *context)
{
	const int saved = errno;
	guard *const hit = find_guard(info->si_addr);

	if (hit && ::mmap(hit->start.load(), hit->size.load(), PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED) {
		hit->lost.store(true, std::memory_order_release);
		if (guard *const whole = hit->whole.load(std::memory_order_relaxed))
			whole->lost.store(true, std::memory_order_release);
	} else {
		pass_on(signal, info, context);
	}
	errno = saved;
}

void install_handler()
{
	static bool installed = false;
	struct sigaction action {};

	if (installed)
		return;
	action.sa_sigaction = on_bus_error;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	::sigemptyset(&action.sa_mask);
	if (::sigaction(SIGBUS, &action, &previous) < 0)
		fail(errno, "SIGBUS handler");
	installed = true;
}

void add_guard(std::span<std::byte> mapping, guard *whole)
{
	for (guard &entry : guards) {
		if (entry.start.load(std::memory_order_relaxed))
			continue;
		entry.lost.store(false, std::memory_order_relaxed);
		entry.whole.store(whole, std::memory_order_relaxed);
		entry.size.store(mapping.size(), std::memory_order_relaxed);
		entry.start.store(mapping.data(), std::memory_order_release);
		return;
	}
	fail(ENOSPC, std::to_string(guards_max) + " mappings are guarded against SIGBUS already");
}

} // namespace

void guard_mapping(std::span<std::byte> mapping)
{
	const std::lock_guard lock{guards_mutex};

	install_handler();
	add_guard(mapping, nullptr);
}

void guard_part(std::span<std::byte> mapping, std::span<const std::byte> whole)
{
	const std::lock_guard lock{guards_mutex};

	add_guard(mapping, find_guard(whole.data()));
}

void unguard_mapping(std::span<std::byte> mapping) noexcept
{
	const std::lock_guard lock{guards_mutex};

	for (guard &entry : guards)
		if (entry.start.load(std::memory_order_relaxed) == mapping.data())
			entry.start.store(nullptr, std::memory_order_release);
}

bool mapping_lost(std::span<const std::byte> mapping) noexcept
{
	const guard *const entry = find_guard(mapping.data());

	return entry && entry->lost.load(std::memory_order_acquire);
}

} // namespace kvmchan::detail
