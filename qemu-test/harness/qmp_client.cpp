// SPDX-License-Identifier: MIT
#include "qmp_client.hpp"

#include <algorithm>
#include <utility>

namespace harness {

using nlohmann::json;

std::shared_ptr<qmp_client> qmp_client::open(kvmchan::unique_fd socket)
{
	auto self = std::make_shared<qmp_client>();
	self->stream_ =
		stream::open(std::move(socket),
	                     {.received = [self](std::string_view bytes) { self->receive(bytes); },
	                      .ended = [self] { self->close(); }});
	self->stream_->start();
	self->send({{"execute", "qmp_capabilities"}});
	return self;
}

void qmp_client::send(const json &message)
{
	stream_->write(message.dump() + '\n');
}

void qmp_client::close()
{
	const std::lock_guard lock{mutex_};
	closed_ = true;
	stream_->close();
	changed_.notify_all();
}

void qmp_client::receive(std::string_view bytes)
{
	partial_ += bytes;
	for (std::size_t end; (end = partial_.find('\n')) != std::string::npos;) {
		auto message = json::parse(partial_.substr(0, end), nullptr, false);
		partial_.erase(0, end + 1);
		if (message.is_object())
			handle(std::move(message));
	}
}

void qmp_client::handle(json message)
{
	const std::lock_guard lock{mutex_};
	if (message.contains("event"))
		events_.push_back(std::move(message));
	else if (const auto id = message.value("id", std::uint64_t{0}); id != 0)
		replies_[id] = std::move(message);
	changed_.notify_all();
}

json qmp_client::execute(std::string_view name, json arguments, milliseconds limit)
{
	std::unique_lock lock{mutex_};
	const auto id = ++last_id_;
	json request{{"execute", name}, {"id", id}};
	if (!arguments.is_null())
		request["arguments"] = std::move(arguments);
	const auto text = request.dump();
	if (closed_)
		throw guest_gone{"QMP " + text + ": QEMU ended"};
	send(request);
	const bool ready = changed_.wait_until(lock, deadline_after(limit),
	                                       [&] { return closed_ || replies_.contains(id); });
	if (!ready)
		throw deadline_error{"QMP " + text + ": no answer in time"};
	if (!replies_.contains(id))
		throw guest_gone{"QMP " + text + ": QEMU ended"};
	const auto reply = std::move(replies_.extract(id).mapped());
	if (reply.contains("error"))
		throw qmp_error{"QMP " + text + ": " + reply["error"].value("desc", reply.dump())};
	return reply.value("return", json{});
}

json qmp_client::wait_event(std::string_view name, const std::function<bool(const json &)> &match,
                            milliseconds limit)
{
	std::unique_lock lock{mutex_};
	const auto find = [&] {
		return std::ranges::find_if(events_, [&](const json &event) {
			return event["event"] == name && (!match || match(event));
		});
	};
	const bool ready = changed_.wait_until(
		lock, deadline_after(limit), [&] { return closed_ || find() != events_.end(); });
	const auto found = find();
	if (found != events_.end()) {
		auto event = std::move(*found);
		events_.erase(found);
		return event;
	}
	if (!ready)
		throw deadline_error{"no QMP event " + std::string{name} + " in time"};
	throw guest_gone{"waiting for the QMP event " + std::string{name} + ": QEMU ended"};
}

void qmp_client::drop_events()
{
	const std::lock_guard lock{mutex_};
	events_.clear();
}

} // namespace harness
