// SPDX-License-Identifier: MIT
#include "ledger.hpp"

#include "error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace torture {

using harness::error;

namespace {

std::string text_of(const report &r)
{
	return fmt::format("{} with {}: sent {} to {}, received {}, reading ended: {}, writing ended: {}", name_of(r.my),
	                   name_of(r.peer), r.accepted, r.intended, r.received, r.reading, r.writing);
}

} // namespace

std::string name_of(std::uint64_t tag)
{
	if (tag == 0)
		return "nobody";
	return fmt::format("{}'s session {} of process {} on channel {}", side_of(tag) ? "the guest" : "the host",
	                   tag & 0xfffffff, (tag >> 28) & 0xfffffff, channel_of(tag));
}

ledger::ledger(unsigned channels)
{
	for (const unsigned side : {0U, 1U}) {
		now_[side].resize(channels);
		last_received_[side].resize(channels);
	}
}

void ledger::take(unsigned side, const report &what)
{
	if (what.what == "wrong")
		throw error{fmt::format("{} received from {} what is wrong: {}", name_of(what.my), name_of(what.peer),
		                        what.note)};
	if (what.what == "paired")
		take_pairing(side, what);
	else if (what.what == "over" || what.what == "former")
		take_end(side, what, what.what == "former");
}

/* No session is received two times, and none after a later one. */
void ledger::take_pairing(unsigned side, const report &what)
{
	auto &last = last_received_[side].at(channel_of(what.my));
	if (side_of(what.peer) == side || channel_of(what.peer) != channel_of(what.my))
		throw error{name_of(what.my) + " received bytes of " + name_of(what.peer)};
	if (what.peer <= last)
		throw error{fmt::format("{} received {}, after {}", name_of(what.my), name_of(what.peer), name_of(last))};
	last = what.peer;
	at(side, what.my) = {what.my, what.peer};
}

void ledger::take_end(unsigned side, const report &what, bool killed)
{
	// It may have said all of it before it was killed.
	if (past_.contains(what.my))
		return;
	check_endings(what);
	past_[what.my] = {what, side == 0 && !killed ? clock::time_point{std::chrono::nanoseconds{what.time}}
	                                             : clock::now()};
	if (what.peer)
		by_peer_[what.peer] = what.my;
	check_against_all(what);
	++sessions_;
	bytes_ += what.received;
	ends_seen_ += killed ? 0U : 1U;
	if (at(side, what.my).my == what.my)
		at(side, what.my) = {};
}

/* "-": it was killed. The guest's device may go. */
void ledger::check_endings(const report &what) const
{
	const auto gone = std::to_string(ENODEV);
	const auto fine = [&](const std::string &how, std::initializer_list<const char *> words) {
		return std::ranges::find(words, how) != words.end() || (side_of(what.my) == 1 && how == gone);
	};
	if (!fine(what.reading, {"eof", "-"}) || !fine(what.writing, {"pipe", "shut", "-"}))
		throw error{"wrong errors: " + text_of(what)};
}

/* A reader that came to the end has all that a writer put in, and nobody has more. */
void ledger::check_pair(const report &reader, const report &writer) const
{
	if (reader.received > writer.intended)
		throw error{fmt::format("more came than was sent:\n{}\n{}", text_of(reader), text_of(writer))};
	// Rule 8 of the format: a killed one's successor may open before we look.
	const bool over_before_it_began = writer.reading == "-" && reader.received == 0;
	if (reader.reading == "eof" && writer.peer == reader.my && reader.received < writer.accepted && !over_before_it_began)
		throw error{fmt::format("bytes are lost:\n{}\n{}", text_of(reader), text_of(writer))};
}

void ledger::check_against_all(const report &what) const
{
	if (const auto peer = past_.find(what.peer); peer != past_.end()) {
		check_pair(what, peer->second.said);
		if (peer->second.said.peer == what.my || peer->second.said.peer == 0)
			check_pair(peer->second.said, what);
	}
	if (const auto other = by_peer_.find(what.my); other != by_peer_.end() && what.peer == 0)
		check_pair(what, past_.at(other->second).said);
}

void ledger::forget(unsigned side)
{
	std::ranges::fill(now_[side], present{});
}

bool ledger::all_paired() const
{
	return paired_sessions(0).size() == now_[0].size();
}

std::set<std::uint64_t> ledger::paired_sessions(unsigned side) const
{
	std::set<std::uint64_t> tags;
	for (std::size_t i = 0; i < now_[side].size(); ++i) {
		const auto &mine = now_[side][i], &other = now_[1 - side][i];
		if (mine.my && mine.peer == other.my && other.peer == mine.my)
			tags.insert(mine.my);
	}
	return tags;
}

const clock::time_point *ledger::ended(std::uint64_t tag) const
{
	const auto found = past_.find(tag);
	return found == past_.end() ? nullptr : &found->second.when;
}

bool ledger::in_order(std::uint64_t tag) const
{
	const auto found = past_.find(tag);
	return found != past_.end() && found->second.said.reading == "eof" && found->second.said.writing == "shut";
}

std::string ledger::story() const
{
	std::string text;
	for (const auto &side : now_) {
		for (const auto &each : side)
			text += fmt::format("{} is with {}\n", name_of(each.my), name_of(each.peer));
	}
	return text;
}

} // namespace torture
