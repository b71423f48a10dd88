// SPDX-License-Identifier: MIT
// Has the session changed since it was last looked at?
#ifndef KVMCHAN_SESSION_WATCH_HPP
#define KVMCHAN_SESSION_WATCH_HPP

#include <array>
#include <cstdint>
#include <tuple>

#include "ring_link.hpp"

namespace kvmchan::detail {

/**
 * A look at the session is a lock or a call of the driver. As long as the words
 * that tell of changes stay what they were, messages go without; whoever is
 * about to sleep, or to say that a call would block, looks in any case.
 */
class session_watch {
public:
	using values = std::array<std::uint64_t, std::tuple_size_v<session_words>>;

	void start(const ring_link &link) noexcept
	{
		words_ = link.watched();
		forget();
	}

	/** To be called before a look: what changes meanwhile is seen later. */
	values now() const noexcept
	{
		return {kvmchan_load(words_[0]), kvmchan_load(words_[1]), kvmchan_load(words_[2])};
	}
	/** The look found a session that goes on. @p before: now(), from before it. */
	void remember(const values &before) noexcept
	{
		seen_ = before;
		known_ = true;
	}
	/** The next one has to look. */
	void forget() noexcept { known_ = false; }

	/** The session goes on as it did at the last look. */
	bool same() const noexcept { return known_ && now() == seen_; }

private:
	session_words words_{};
	values seen_{};
	bool known_ = false;
};

} // namespace kvmchan::detail

#endif
