// SPDX-License-Identifier: MIT
/*
 * A hostile peer on the host: a thread that writes over the control pages and
 * the rings of a region, and now and then over its superblock and table, which
 * the manager mends soon, for as long as it lives.
 */
#pragma once

#include "module_machine.hpp"
#include "scribbles.hpp"

#include <chrono>
#include <thread>

namespace module_test {

class scribbler {
public:
	scribbler(region &over, std::uint64_t seed)
	    : table_{over.table()}, words_{over.bytes(), {table_.slots().begin(), table_.slots().end()}, seed},
	      thread_{[this](const std::stop_token &stop) {
		      while (!stop.stop_requested())
			      words_.below(5000) ? scribble() : spoil_table();
	      }}
	{
	}

	std::uint64_t stores() const { return words_.stores(); }

private:
	/* A few, and then time for the others: a core less would be another test. */
	void scribble()
	{
		for (int i = 0; i < 32; ++i)
			words_.into_a_slot();
		std::this_thread::sleep_for(std::chrono::microseconds{100});
	}
	/* Long enough for the driver to look at it, and then the manager's next change. */
	void spoil_table()
	{
		for (auto left = 1 + words_.below(20); left; --left)
			words_.into_the_table();
		std::this_thread::sleep_for(std::chrono::milliseconds{words_.below(600)});
		table_.announce(false);
	}

	kvmchan::manager &table_;
	harness::scribbles words_;
	std::jthread thread_;
};

} // namespace module_test
