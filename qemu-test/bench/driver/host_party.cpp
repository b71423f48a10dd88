// SPDX-License-Identifier: MIT
#include "host_party.hpp"

#include "error.hpp"

#include <thread>
#include <utility>

namespace bench {

void host_party::start(std::function<std::string()> work)
{
	std::packaged_task<std::string()> task{std::move(work)};
	result_ = task.get_future();
	std::thread{std::move(task)}.detach();
}

void host_party::start(const job &what)
{
	start([this, what] {
		if (!what.op.starts_with("many-"))
			return perform(what, ends_.get(what), words_);
		auto &channels = ends_.group(what.where);
		channels.resize(what.count);
		if (what.op == "many-source")
			channels.source(what.size, what.offset, words_);
		else
			channels.sink(what.size, what.offset, words_);
		return std::string{};
	});
}

std::string host_party::finish(harness::milliseconds limit)
{
	if (result_.wait_for(harness::stretched(limit)) != std::future_status::ready)
		throw harness::deadline_error{"the host's end does not end"};
	return result_.get();
}

} // namespace bench
