// SPDX-License-Identifier: MIT
// "kvmchan serve" that ends and comes again, and a service manager's store.
#ifndef KVMCHAN_TESTS_SERVER_SUCCESSOR_HPP
#define KVMCHAN_TESTS_SERVER_SUCCESSOR_HPP

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server_fixture.hpp"
#include "unique_fd.hpp"

namespace kvmchan::testing {

/** What systemd does with FDSTORE=1 and FDSTOREREMOVE=1. */
class fake_store {
public:
	struct entry {
		std::string name;
		unique_fd fd;
	};

	explicit fake_store(std::filesystem::path path) : path_{std::move(path)}
	{
		sockaddr_un address{};
		const int room = 4 << 20;

		address.sun_family = AF_UNIX;
		std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
		socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
		::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
		if (::bind(socket_.get(), reinterpret_cast<sockaddr *>(&address), sizeof(address)) < 0)
			throw std::system_error{errno, std::system_category(), path_};
		thread_ = std::thread{[this] { run(); }};
	}
	fake_store(const fake_store &) = delete;
	fake_store &operator=(const fake_store &) = delete;
	~fake_store()
	{
		over_ = true;
		thread_.join();
	}

	const std::filesystem::path &path() const { return path_; }
	int ready() const { return ready_; }

	/** Calls @p use with what is held when all that the server sent has been taken in. */
	template <typename Use>
	auto with_entries(Use use)
	{
		pollfd waiting{socket_.get(), POLLIN, 0};

		while (::poll(&waiting, 1, 0) == 1)
			std::this_thread::sleep_for(1ms);
		const std::lock_guard lock{mutex_};

		return use(entries_);
	}

private:
	void run()
	{
		pollfd waiting{socket_.get(), POLLIN, 0};

		while (!over_)
			if (::poll(&waiting, 1, 10) == 1)
				take();
	}

	void take()
	{
		const std::lock_guard lock{mutex_};
		alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
		char text[4096];
		iovec vector{text, sizeof(text)};
		msghdr header{};
		unique_fd fd;

		header.msg_iov = &vector;
		header.msg_iovlen = 1;
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		const ssize_t length = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);

		if (length <= 0)
			return;
		if (const cmsghdr *c = CMSG_FIRSTHDR(&header)) {
			int number = -1;

			std::memcpy(&number, CMSG_DATA(c), sizeof(number));
			fd.reset(number);
		}
		heed(std::string{text, static_cast<std::size_t>(length)} + "\n", std::move(fd));
	}

	void heed(const std::string &text, unique_fd fd)
	{
		const auto at = text.find("FDNAME=");
		const std::string name = at == std::string::npos ? "" : text.substr(at + 7, text.find('\n', at) - at - 7);

		if (text.starts_with("FDSTORE=1\n"))
			entries_.push_back({name, std::move(fd)});
		else if (text.starts_with("FDSTOREREMOVE=1\n"))
			std::erase_if(entries_, [&](const entry &each) { return each.name == name; });
		else if (text.starts_with("READY=1\n"))
			++ready_;
	}

	std::filesystem::path path_;
	unique_fd socket_;
	std::mutex mutex_;
	std::vector<entry> entries_;
	std::atomic<int> ready_{0};
	std::atomic<bool> over_{false};
	std::thread thread_;
};

/** A server as a child of ours, with what a store holds, if there is one. */
class successor {
public:
	successor(std::vector<std::string> command, std::filesystem::path output, fake_store *store = nullptr)
		: command_{std::move(command)}, output_{std::move(output)}, store_{store}
	{
	}
	successor(const successor &) = delete;
	successor &operator=(const successor &) = delete;
	~successor() { end(SIGKILL); }

	void start()
	{
		std::vector<fake_store::entry> nothing;
		const auto launch = [&](std::vector<fake_store::entry> &entries) {
			pid_ = ::fork();
			if (pid_ == 0)
				become(entries);
		};

		if (store_)
			store_->with_entries(launch);
		else
			launch(nothing);
	}

	/** Ends it; the exit code, or 128 + signal. */
	int end(int signal)
	{
		int status = 0;

		if (pid_ <= 0)
			return -1;
		::kill(pid_, signal);
		::kill(pid_, SIGCONT);
		::waitpid(std::exchange(pid_, -1), &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}

	bool running() const
	{
		siginfo_t info{};

		return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		       info.si_pid == 0;
	}

	void signal(int number) const { ::kill(pid_, number); }
	pid_t pid() const { return pid_; }

	std::size_t descriptors() const
	{
		const std::filesystem::directory_iterator begin{"/proc/" + std::to_string(pid_) + "/fd"};

		return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
	}

private:
	[[noreturn]] void become(std::vector<fake_store::entry> &entries)
	{
		constexpr int high = 2000;
		std::vector<int> fds;
		std::vector<char *> words;
		std::string names;

		for (const auto &entry : entries) {
			names += (names.empty() ? "" : ":") + entry.name;
			fds.push_back(::fcntl(entry.fd.get(), F_DUPFD_CLOEXEC, high));
		}
		for (std::size_t i = 0; i < fds.size(); ++i)
			::dup2(fds[i], 3 + static_cast<int>(i));
		for (std::string &word : command_)
			words.push_back(word.data());
		words.push_back(nullptr);
		if (store_) {
			::setenv("NOTIFY_SOCKET", store_->path().c_str(), 1);
			::setenv("FDSTORE", "1000", 1);
		}
		if (!fds.empty()) {
			::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
			::setenv("LISTEN_FDS", std::to_string(fds.size()).c_str(), 1);
			::setenv("LISTEN_FDNAMES", names.c_str(), 1);
		}
		const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		::dup2(out, 1);
		::dup2(out, 2);
		::execv(words[0], words.data());
		::_exit(127);
	}

	std::vector<std::string> command_;
	std::filesystem::path output_;
	fake_store *store_;
	pid_t pid_ = -1;
};

inline constexpr unsigned vectors = 2;

/* The tool as a server, which is followed by another one. */
class server_handover : public ::testing::Test {
protected:
	std::vector<std::string> command(std::vector<std::string> more = {}) const
	{
		std::vector<std::string> words{KVMCHAN_TOOL, "serve", "-v", "-F", "-q", "--memfd", "-S", socket_, "-l", "1M",
		                               "-n", std::to_string(vectors)};

		words.insert(words.end(), more.begin(), more.end());
		return words;
	}

	void start(const std::vector<std::string> &words, bool with_store)
	{
		if (with_store)
			store_ = std::make_unique<fake_store>(directory_ / "notify");
		server_ = std::make_unique<successor>(words, directory_ / "output", store_.get());
		server_->start();
		ASSERT_TRUE(wait_until_served());
	}

	bool wait_until_served()
	{
		return eventually([&] { return server_answers(socket_) || !server_->running(); }) && server_->running();
	}

	nlohmann::json ask(const nlohmann::json &request) const
	{
		return control_request(socket_ + ".ctl", request, patience);
	}

	nlohmann::json status() const { return ask({{"cmd", "status"}}).at("region"); }

	std::string output() const
	{
		std::stringstream text;

		text << std::ifstream{directory_ / "output"}.rdbuf();
		return text.str();
	}

	std::size_t times_said(const std::string &what) const
	{
		const std::string text = output();
		std::size_t count = 0;

		for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
			++count;
		return count;
	}

	/* The program is run again, and serves. */
	bool run_again()
	{
		const std::size_t before = times_said("of a former server");

		ask({{"cmd", "restart"}});
		return eventually([&] { return times_said("of a former server") > before; }) && wait_until_served();
	}

	temporary_directory directory_;
	const std::string socket_ = (directory_ / "s").string();
	std::unique_ptr<fake_store> store_;
	std::unique_ptr<successor> server_;
};

} // namespace kvmchan::testing

#endif
