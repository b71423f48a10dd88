// SPDX-License-Identifier: MIT
// The C API of libkvmchan-server.
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/mman.h>
#include <unistd.h>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "kvmchan/server.h"
#include "server.hpp"
#include "unique_fd.hpp"

struct kvmchan_server {
	explicit kvmchan_server(kvmchan::server_config config) : it{std::move(config)} {}

	kvmchan::server it;
};

namespace {

thread_local std::string last_error;

void remember(const char *text) noexcept
{
	try {
		last_error = text;
	} catch (const std::bad_alloc &) {
		last_error.clear();
	}
}

/* No exception leaves the library. */
template <typename Body>
int guarded(Body body) noexcept
{
	try {
		body();
		return 0;
	} catch (const std::bad_alloc &) {
		remember("out of memory");
		return -ENOMEM;
	} catch (const std::system_error &error) {
		try {
			remember(kvmchan::error_text(error).c_str());
		} catch (const std::bad_alloc &) {
			remember(error.what());
		}
		return error.code().value() > 0 ? -error.code().value() : -EIO;
	} catch (const std::exception &error) {
		remember(error.what());
		return -EIO;
	}
}

/* The configuration is read from files: a text is made one for as long as that takes. */
kvmchan::server_config config_of_text(std::string_view text)
{
	const kvmchan::unique_fd file{::memfd_create("kvmchan.toml", MFD_CLOEXEC)};

	if (!file)
		throw std::system_error{errno, std::system_category(), "configuration"};
	while (!text.empty()) {
		const ssize_t n = ::write(file.get(), text.data(), text.size());

		if (n < 0)
			throw std::system_error{errno, std::system_category(), "configuration"};
		text.remove_prefix(static_cast<std::size_t>(n));
	}
	return kvmchan::load_config("/proc/self/fd/" + std::to_string(file.get()));
}

/* A program that has not set up spdlog wants warnings, and not on its output. */
void quieten_log()
{
	if (!spdlog::default_logger()->name().empty())
		return;
	spdlog::set_default_logger(std::make_shared<spdlog::logger>(
		"kvmchan-server", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
	spdlog::set_level(spdlog::level::warn);
}

template <typename Load>
int make_server(kvmchan_server **out, Load load) noexcept
{
	if (!out) {
		remember("server: nowhere to put it");
		return -EINVAL;
	}
	*out = nullptr;
	return guarded([&] {
		quieten_log();
		*out = std::make_unique<kvmchan_server>(load()).release();
	});
}

} // namespace

const char *kvmchan_server_error_text(void)
{
	return last_error.c_str();
}

int kvmchan_server_open(const char *file, kvmchan_server **out)
{
	return make_server(out, [&] { return kvmchan::load_config(file ? file : ""); });
}

int kvmchan_server_create(const char *toml, kvmchan_server **out)
{
	return make_server(out, [&] { return config_of_text(toml ? toml : ""); });
}

int kvmchan_server_run(kvmchan_server *server)
{
	return guarded([&] { server->it.run(); });
}

void kvmchan_server_stop(kvmchan_server *server)
{
	server->it.stop();
}

void kvmchan_server_close(kvmchan_server *server)
{
	delete server;
}
