// SPDX-License-Identifier: MIT
// A memory block on the host. Any number of processes map it; the one that holds
// the side's lock signals, and is rung.
#include <cerrno>
#include <mutex>

#include "block_end.hpp"
#include "failure.hpp"
#include "host_slot.hpp"
#include "poll_pace.hpp"
#include "wait_set.hpp"

namespace kvmchan::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

host_slot claim_or_look(const std::shared_ptr<region> &where, std::string_view name)
{
	try {
		return host_slot::claim(where, name, KVMCHAN_KIND_MEMORY, -1);
	} catch (const std::system_error &error) {
		if (error.code().value() != EBUSY)
			throw;
	}
	return host_slot::look(where, name, KVMCHAN_KIND_MEMORY);
}

class host_block final : public block_end {
public:
	explicit host_block(host_slot slot)
		: slot_{std::move(slot)}, bell_{slot_.locked() ? slot_.bell() : 0}
	{
		slot_.watch(set_);
		if (!slot_.locked())
			return;
		sent_ = kvmchan_load(&slot_.own_index()->tx_prod);
		kvmchan_store_release(&slot_.own_session()->bell, bell_);
		/* Of us and a peer that signals at least one sees the other. */
		kvmchan_mb();
	}

	~host_block() override
	{
		if (slot_.locked() && slot_.still_there())
			kvmchan_store_release(&slot_.own_session()->bell, 0);
	}

	std::span<std::byte> bytes() const noexcept override { return slot_.data(0); }

	int signal() noexcept override
	{
		const std::lock_guard lock{mutex_};

		if (!slot_.locked())
			return -EBUSY;
		if (!here())
			return -ENODEV;
		kvmchan_store_release(&slot_.own_index()->tx_prod, ++sent_);
		/* Pairs with the one of a waiter between its bell and its look. */
		kvmchan_mb();
		slot_.ring_peer();
		return 0;
	}

	int count(std::uint64_t &out) noexcept override
	{
		const std::lock_guard lock{mutex_};

		if (!here())
			return -ENODEV;
		out = kvmchan_load_acquire(&slot_.peer_index()->tx_prod);
		return 0;
	}

	int wait(std::uint64_t &seen, nanoseconds timeout) noexcept override
	{
		const auto now = clock::now();
		const auto deadline = timeout > clock::time_point::max() - now ? clock::time_point::max() : now + timeout;
		const std::uint64_t old = seen;
		poll_pace pace;

		for (;;) {
			set_.take();
			if (const int error = count(seen))
				return error;
			if (seen != old)
				return 0;
			const nanoseconds left = deadline - clock::now();

			if (timeout.count() >= 0 && left.count() <= 0)
				return -ETIMEDOUT;
			const nanoseconds poll = pace.next(source());
			const bool poll_first = poll.count() > 0 && (timeout.count() < 0 || poll < left);

			set_.sleep(poll_first ? poll : timeout.count() < 0 ? nanoseconds{-1} : left);
		}
	}

private:
	/* With mutex_ held. */
	bool here() noexcept { return slot_.still_there() && !slot_.where().memory_lost(); }

	wake_source source() const noexcept
	{
		const bool rung = (bell_ & KVMCHAN_BELL_RINGABLE) &&
		                  (kvmchan_load(&slot_.peer_session()->bell) & KVMCHAN_BELL_RINGS);

		return rung ? wake_source::doorbell : wake_source::polling;
	}

	host_slot slot_;
	std::uint64_t bell_;
	std::uint64_t sent_ = 0;
	std::mutex mutex_; /* sent_, slot_'s generation */
	wait_set set_; /* of the one thread that waits */
};

} // namespace

std::unique_ptr<block_end> block_end::open_host(const std::shared_ptr<region> &where, std::string_view name)
{
	return std::make_unique<host_block>(claim_or_look(where, name));
}

} // namespace kvmchan::detail
