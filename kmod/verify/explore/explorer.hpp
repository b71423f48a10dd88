// SPDX-License-Identifier: MIT
// Goes through all states that a scenario can reach in a model of memory.
#ifndef KVMCHAN_EXPLORE_EXPLORER_HPP
#define KVMCHAN_EXPLORE_EXPLORER_HPP

#include <cinttypes>
#include <cstdio>
#include <memory>
#include <vector>

#include "fingerprint.hpp"
#include "scenario.hpp"

namespace explore {

/* What is private to an actor, and what it does next. */
struct actor {
	alignas(8) std::array<unsigned char, local_max> local;
	std::array<std::uint64_t, log_max> log;
	unsigned count;
	access next;
};

template <class Memory>
struct state {
	Memory memory;
	notes noted;
	std::array<actor, actors_max> actors;
};

/* What may happen next: a way in which an actor goes on, or a move in the memory. */
struct step {
	unsigned who;
	unsigned way;
};

template <class Memory>
class explorer {
public:
	explicit explorer(const scenario &s) : s_{s} {}

	/* All of them; says what was wrong, if anything. */
	const char *run()
	{
		words = s_.words;
		frames_.push_back(std::make_unique<frame>());
		frame &first = *frames_.back();

		depth_ = 1;
		start(first.now);
		if (const char *fault = enter(first))
			return fault;
		while (depth_)
			if (const char *fault = go_on())
				return fault;
		return nullptr;
	}

	/* The way to where run() has ended, one access a line. */
	void tell()
	{
		auto now = std::make_unique<state<Memory>>();

		telling_ = true;
		start(*now);
		advance_private(*now);
		for (unsigned i = 0; i < depth_; ++i) {
			const frame &f = *frames_[i];

			if (!f.done)
				break;
			take(*now, f.steps[f.done - 1]);
			advance_private(*now);
		}
	}

	std::uint64_t states() const { return states_; }
	std::uint64_t steps() const { return steps_; }
	std::uint64_t ends() const { return ends_; }

private:
	static constexpr unsigned memory_moves = actors_max;

	struct frame {
		state<Memory> now;
		std::vector<step> steps;
		unsigned done;
	};

	const char *go_on()
	{
		frame &top = *frames_[depth_ - 1];

		if (top.done == top.steps.size()) {
			--depth_;
			return nullptr;
		}
		const step next = top.steps[top.done++];

		if (frames_.size() == depth_)
			frames_.push_back(std::make_unique<frame>());
		frame &after = *frames_[depth_++];

		after.now = top.now;
		++steps_;
		after.steps.clear();
		after.done = 0;
		if (const char *fault = take(after.now, next))
			return fault;
		return enter(after);
	}

	/* A state that nobody can leave is an end, and has to be a good one. */
	const char *enter(frame &f)
	{
		f.steps.clear();
		f.done = 0;
		if (const char *fault = advance_private(f.now))
			return fault;
		if (!seen_.insert(print(f.now))) {
			--depth_;
			return nullptr;
		}
		++states_;
		list(f);
		if (!f.steps.empty())
			return nullptr;
		++ends_;
		return judge(f.now);
	}

	void start(state<Memory> &now)
	{
		now = {};
		now.memory.start(s_.places);
		now.noted = s_.noted;
		for (unsigned i = 0; i < s_.actors; ++i) {
			now.actors[i].local = s_.locals[i];
			find_next(now.actors[i], i);
		}
	}

	/* ---- actors ---- */

	/* Whether the turn came to its end. */
	static bool run_turn(void (*turn)(void *), void *local)
	{
		if (setjmp(running.leave))
			return false;
		turn(local);
		return true;
	}

	void find_next(actor &a, unsigned i)
	{
		alignas(8) std::array<unsigned char, local_max> scratch;

		for (;;) {
			std::memcpy(scratch.data(), a.local.data(), s_.local_size);
			running.log = a.log.data();
			running.count = a.count;
			running.at = 0;
			if (!run_turn(s_.turns[i], scratch.data()))
				break;
			std::memcpy(a.local.data(), scratch.data(), s_.local_size);
			a.count = 0;
		}
		a.next = running.next;
	}

	const char *make(state<Memory> &now, unsigned i, unsigned way)
	{
		actor &a = now.actors[i];
		const char *fault = nullptr;
		std::uint64_t got = 0;

		if (a.count == log_max)
			bad_scenario("too many accesses in a turn");
		switch (a.next.what) {
		case act::choose:
			got = way;
			break;
		case act::note:
			now.noted[a.next.where] = a.next.value;
			break;
		case act::recall:
			got = now.noted[a.next.where];
			break;
		case act::newest:
			got = now.memory.newest(a.next.where);
			break;
		case act::fail:
			return a.next.text;
		default:
			got = now.memory.make(i, a.next, way, s_.places, fault);
		}
		if (telling_)
			tell_access(i, a.next, got);
		a.log[a.count++] = got;
		find_next(a, i);
		now.memory.settle(s_.places);
		return fault;
	}

	static bool is_constant(const access &a, const layout &l)
	{
		return (a.what == act::load || a.what == act::load_acquire) && !l.places[a.where].writers;
	}

	static bool is_private(unsigned i, const access &a, const layout &l)
	{
		return a.what == act::note || a.what == act::recall || a.what == act::newest ||
		       a.what == act::fail || is_constant(a, l) || Memory::is_private(i, a, l);
	}

	/* What is no matter to the others is done at once. */
	const char *advance_private(state<Memory> &now)
	{
		for (unsigned i = 0; i < s_.actors; ++i)
			while (is_private(i, now.actors[i].next, s_.places) &&
			       now.memory.ways(i, now.actors[i].next, s_.places))
				if (const char *fault = make(now, i, 0))
					return fault;
		return nullptr;
	}

	unsigned ways(const state<Memory> &now, unsigned i) const
	{
		const access &next = now.actors[i].next;

		if (next.what == act::finish)
			return 0;
		if (next.what == act::choose)
			return static_cast<unsigned>(next.value);
		return now.memory.ways(i, next, s_.places);
	}

	/* ---- steps ---- */

	void list(frame &f)
	{
		for (unsigned i = 0; i < s_.actors; ++i) {
			/* What it chooses is no matter to others either: it may choose first. */
			if (f.now.actors[i].next.what == act::choose)
				f.steps.clear();
			for (unsigned way = ways(f.now, i); way--;)
				f.steps.push_back({i, way});
			if (f.now.actors[i].next.what == act::choose)
				return;
		}
		for (unsigned move = 0; move < Memory::moves_max; ++move)
			if (f.now.memory.may_move(move))
				f.steps.push_back({memory_moves, move});
	}

	const char *take(state<Memory> &now, const step &next)
	{
		if (next.who != memory_moves)
			return make(now, next.who, next.way);
		const auto e = now.memory.move(next.way);

		if (telling_)
			tell_move(next.way, e);
		return nullptr;
	}

	const char *judge(const state<Memory> &now) const
	{
		rest r{};
		bool all = true;

		for (unsigned i = 0; i < s_.actors; ++i) {
			const act next = now.actors[i].next.what;

			if (next != act::finish && next != act::sleep)
				return "nobody can go on, and one does not sleep";
			r[i] = now.actors[i].local.data();
			all = all && next == act::finish;
		}
		if (s_.judge)
			return s_.judge(r);
		return all ? nullptr : "one sleeps for ever";
	}

	fingerprint print(const state<Memory> &now) const
	{
		fingerprint f;

		now.memory.add_to(f, s_.places);
		f.add_words(now.noted.data(), sizeof(now.noted));
		for (unsigned i = 0; i < s_.actors; ++i) {
			const actor &a = now.actors[i];

			f.add_words(a.local.data(), s_.local_size);
			f.add(a.count);
			f.add_words(a.log.data(), a.count * sizeof(a.log[0]));
		}
		f.end();
		return f;
	}

	/* ---- telling ---- */

	const char *place_name(unsigned where) const
	{
		return where < s_.places.count ? s_.places.places[where].name : "bell or lock";
	}

	void tell_access(unsigned i, const access &a, std::uint64_t got) const
	{
		static constexpr const char *names[] = {"load", "load_acquire", "store", "store_release", "barrier", "read",
		                                        "write", "ring", "wakes", "lock", "unlock", "choose",
		                                        "note", "recall", "newest", "finish", "fail"};
		const bool at_place = a.what <= act::write && a.what != act::barrier;

		std::printf("\tactor %u: %s %s(%u) %" PRIx64 " -> %" PRIx64 "\n", i, names[static_cast<unsigned>(a.what)],
		            at_place ? place_name(a.where) : "", a.where, a.value, got);
	}

	template <class Entry>
	void tell_move(unsigned move, const Entry &e) const
	{
		std::printf("\tmemory: actor %u's %s(%u) = %" PRIx64 "\n", Memory::mover(move),
		            place_name(e.where), e.where, e.value);
	}

	const scenario &s_;
	std::vector<std::unique_ptr<frame>> frames_;
	unsigned depth_ = 0;
	fingerprint_set seen_;
	std::uint64_t states_ = 0, steps_ = 0, ends_ = 0;
	bool telling_ = false;
};

} // namespace explore

#endif
