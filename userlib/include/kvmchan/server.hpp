// SPDX-License-Identifier: MIT
// C++: the server of "kvmchan serve" inside a program of one's own.
// Link with libkvmchan-server.
#ifndef KVMCHAN_SERVER_API_HPP
#define KVMCHAN_SERVER_API_HPP

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "kvmchan/server.h"

namespace kvmchan::inline v1 {

/**
 * Serves regions to VMs and processes; see kvmchan.toml(5). Move-only. Throws
 * std::system_error, whose text names the file, the line and the limit.
 *
 *	auto server = kvmchan::server::from_text("[[region]]\nsocket = \"/run/x\"\n");
 *	std::jthread thread{[&] { server.run(); }};
 *	...
 *	server.stop();
 */
class server {
public:
	static server from_file(const std::filesystem::path &file)
	{
		return make([&](auto **out) { return kvmchan_server_open(file.c_str(), out); });
	}

	static server from_text(const std::string &toml)
	{
		return make([&](auto **out) { return kvmchan_server_create(toml.c_str(), out); });
	}

	/** Serves, on this thread, until stop(). */
	void run()
	{
		if (const int error = kvmchan_server_run(handle_.get()))
			fail(error);
	}

	/** Any thread. */
	void stop() noexcept { kvmchan_server_stop(handle_.get()); }

private:
	struct closer {
		void operator()(kvmchan_server *handle) const noexcept { kvmchan_server_close(handle); }
	};

	template <typename Make>
	static server make(Make call)
	{
		kvmchan_server *out = nullptr;

		if (const int error = call(&out))
			fail(error);
		return server{out};
	}

	[[noreturn]] static void fail(int error)
	{
		throw std::system_error{-error, std::system_category(), kvmchan_server_error_text()};
	}

	explicit server(kvmchan_server *handle) noexcept : handle_{handle} {}

	std::unique_ptr<kvmchan_server, closer> handle_;
};

} // namespace kvmchan::inline v1

#endif
