// SPDX-License-Identifier: MIT
// A server on a thread of its own, in a directory of its own.
#ifndef KVMCHAN_TESTS_SERVER_FIXTURE_HPP
#define KVMCHAN_TESTS_SERVER_FIXTURE_HPP

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "server.hpp"

namespace kvmchan::testing {

using namespace std::chrono_literals;

/* No test measures time: this only ends one that hangs. */
inline constexpr std::chrono::seconds patience{30};

class temporary_directory {
public:
	temporary_directory()
	{
		std::string name = (std::filesystem::temp_directory_path() / "kvmchan-test.XXXXXX").string();

		if (!::mkdtemp(name.data()))
			throw std::system_error{errno, std::system_category(), name};
		path_ = name;
	}
	temporary_directory(const temporary_directory &) = delete;
	temporary_directory &operator=(const temporary_directory &) = delete;
	~temporary_directory()
	{
		std::error_code ec;

		std::filesystem::remove_all(path_, ec);
	}

	std::filesystem::path operator/(const std::string &name) const { return path_ / name; }
	const std::filesystem::path &path() const { return path_; }

private:
	std::filesystem::path path_;
};

/** Polls until @p condition holds; false when it never does. */
inline bool eventually(const std::function<bool()> &condition)
{
	const auto deadline = std::chrono::steady_clock::now() + patience;

	while (!condition()) {
		if (std::chrono::steady_clock::now() > deadline)
			return false;
		std::this_thread::sleep_for(2ms);
	}
	return true;
}

/** Does a server answer at its control socket? Its file is there a moment before anybody listens. */
inline bool server_answers(const std::string &socket)
{
	try {
		control_request(socket + ".ctl", {{"cmd", "status"}}, patience);
		return true;
	} catch (const std::exception &) {
		return false;
	}
}

inline std::size_t open_descriptors()
{
	const std::filesystem::directory_iterator begin{"/proc/self/fd"};

	return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

class server_test : public ::testing::Test {
protected:
	server_test()
	{
		spdlog::set_level(std::getenv("KVMCHAN_TEST_LOG") ? spdlog::level::debug : spdlog::level::off);
		region_.socket = directory_ / "s";
		region_.size = 1 << 20;
		region_.vectors = 2;
	}

	~server_test() override { stop(); }

	void start()
	{
		server_config config;

		config.regions.push_back(region_);
		server_ = std::make_unique<server>(config);
		thread_ = std::thread{[this] { server_->run(); }};
	}

	void stop()
	{
		if (server_)
			server_->stop();
		if (thread_.joinable())
			thread_.join();
		server_.reset();
	}

	nlohmann::json ask(const nlohmann::json &request) const
	{
		return control_request(control_path(region_.socket), request, patience);
	}

	nlohmann::json status() const { return ask({{"cmd", "status"}}).at("region"); }

	std::size_t connected() const
	{
		const nlohmann::json now = status();
		std::size_t count = 0;

		for (const auto &peer : now.at("peers"))
			count += peer.at("connected").get<bool>() ? 1U : 0U;
		return count;
	}

	static slot_config channel(const std::string &name, std::string side0 = {}, std::string side1 = {})
	{
		slot_config slot;

		slot.spec.name = name;
		slot.spec.size = {4096, 4096};
		slot.sides = {std::move(side0), std::move(side1)};
		slot.origin = "test";
		return slot;
	}

	static vm_config vm(const std::string &name, std::uint16_t id)
	{
		vm_config made;

		made.name = name;
		made.id = id;
		return made;
	}

	std::filesystem::path vm_socket(const std::string &name) const { return region_.socket.string() + "." + name; }

	temporary_directory directory_;
	region_config region_;
	std::unique_ptr<server> server_;
	std::thread thread_;
};

} // namespace kvmchan::testing

#endif
