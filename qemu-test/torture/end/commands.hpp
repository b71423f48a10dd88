// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

namespace torture {

/** What is asked of this process on its standard input, whose end ends it. */
class commands {
public:
	/** Starts to listen, until the process ends. */
	commands();

	/** No new sessions; those that are there are brought to their end in order. */
	bool finishing() const { return finishing_; }

private:
	void listen();
	std::atomic<bool> finishing_{false};
};

} // namespace torture
