// SPDX-License-Identifier: MIT
// What comes back from a control socket: it is a reply, or an error of the kind
// that whoever asks expects.
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_service.hpp"
#include "doorbell.hpp"
#include "private_directory.hpp"
#include "require.hpp"
#include "unix_socket.hpp"

namespace kvmchan::fuzz {
namespace {

using namespace std::chrono_literals;

/* Waits for a request, says what it was told to say, and hangs up. */
class replier {
public:
	replier() : listener_{unix_listener::listen(directory_ / "s", 0600)}, stop_{make_doorbell(ec_)}, thread_{[this] { run(); }} {}
	replier(const replier &) = delete;
	replier &operator=(const replier &) = delete;
	~replier()
	{
		ring_doorbell(stop_.get());
		thread_.join();
	}

	const std::filesystem::path &path() const noexcept { return listener_.path(); }

	void say(std::string_view text)
	{
		const std::lock_guard lock{mutex_};

		text_ = text;
	}

private:
	void run()
	{
		pollfd entries[] = {{stop_.get(), POLLIN, 0}, {listener_.fd(), POLLIN, 0}};

		while (::poll(entries, std::size(entries), -1) > 0 && !entries[0].revents)
			serve();
	}

	void serve()
	{
		const unique_fd visitor = listener_.accept(ec_);
		pollfd entry{visitor.get(), POLLIN, 0};
		char request[256];

		if (!visitor || ::poll(&entry, 1, -1) != 1 || ::recv(visitor.get(), request, sizeof(request), 0) <= 0)
			return;
		const std::lock_guard lock{mutex_};

		::send(visitor.get(), text_.data(), text_.size(), MSG_NOSIGNAL);
	}

	private_directory directory_;
	std::error_code ec_;
	unix_listener listener_;
	unique_fd stop_;
	std::mutex mutex_; /* text_ */
	std::string text_;
	std::thread thread_;
};

void ask(const std::filesystem::path &socket)
{
	try {
		const auto reply = control_request(socket, {{"cmd", "status"}}, 10s);

		require(reply.is_object() && reply.at("ok") == true, "a reply says that all is well");
	} catch (const std::system_error &error) {
		require(error.code() != std::errc::timed_out, "who hangs up is not waited for");
	}
}

} // namespace
} // namespace kvmchan::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	static kvmchan::fuzz::replier other;

	other.say({reinterpret_cast<const char *>(data), size});
	kvmchan::fuzz::ask(other.path());
	return 0;
}
