// SPDX-License-Identifier: MIT
#include "mapping_guard.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "failure.hpp"

namespace kvmchan::detail {

/* What the handler looks at: lock-free, and never freed. */
struct mapping_guard::entry {
	std::atomic<std::byte *> start{nullptr};
	std::atomic<std::size_t> size{0};
	std::atomic<std::atomic<int> *> error{nullptr};

	static_assert(decltype(start)::is_always_lock_free && std::atomic<int>::is_always_lock_free);
};

struct mapping_guard::handler {
	static constexpr std::size_t entries_max = 256;

	static inline std::array<entry, entries_max> entries;
	static inline std::mutex mutex;
	static inline struct sigaction previous;

	static entry *find(const void *address) noexcept
	{
		for (entry &each : entries) {
			const std::byte *const start = each.start.load(std::memory_order_acquire);
			const auto offset = reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(start);

			if (start && offset < each.size.load(std::memory_order_relaxed))
				return &each;
		}
		return nullptr;
	}

	static void pass_on(int signal, siginfo_t *info, void *context)
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

	static void on_bus_error(int signal, siginfo_t *info, void *context)
	{
		const int saved = errno;
		entry *const hit = find(info->si_addr);

		if (hit && ::mmap(hit->start.load(), hit->size.load(), PROT_READ | PROT_WRITE,
		                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED)
			hit->error.load()->store(ENODEV, std::memory_order_release);
		else
			pass_on(signal, info, context);
		errno = saved;
	}

	static void install()
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

	static entry &add(std::span<std::byte> mapping, std::atomic<int> &error)
	{
		for (entry &each : entries) {
			if (each.start.load(std::memory_order_relaxed))
				continue;
			each.error.store(&error, std::memory_order_relaxed);
			each.size.store(mapping.size(), std::memory_order_relaxed);
			each.start.store(mapping.data(), std::memory_order_release);
			return each;
		}
		fail(ENOSPC, std::to_string(entries_max) + " mappings are guarded against SIGBUS already");
	}
};

mapping_guard::mapping_guard(std::span<std::byte> mapping, std::atomic<int> &error)
{
	const std::lock_guard lock{handler::mutex};

	handler::install();
	entry_ = &handler::add(mapping, error);
}

mapping_guard::mapping_guard(mapping_guard &&other) noexcept : entry_{std::exchange(other.entry_, nullptr)} {}

mapping_guard &mapping_guard::operator=(mapping_guard &&other) noexcept
{
	if (this != &other) {
		reset();
		entry_ = std::exchange(other.entry_, nullptr);
	}
	return *this;
}

void mapping_guard::reset() noexcept
{
	if (!entry_)
		return;
	const std::lock_guard lock{handler::mutex};

	entry_->start.store(nullptr, std::memory_order_release);
	entry_ = nullptr;
}

} // namespace kvmchan::detail
