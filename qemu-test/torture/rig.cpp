// SPDX-License-Identifier: MIT
#include "rig.hpp"

#include "boot_files.hpp"
#include "error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

namespace torture {

using namespace std::chrono_literals;
using harness::error;

namespace {

/* Names, and how they are made. */
struct channel_spec {
	const char *name;
	const char *shape;
	std::uint64_t largest_ring;
};
constexpr channel_spec channels[] = {
	{"tiny", "stream:4K", 4096},
	{"wide", "stream:64K,16K", 65536},
	{"notes", "packet:4K", 4096},
	{"files", "packet:16K,64K", 65536},
};
constexpr auto channel_count = std::size(channels);

std::vector<std::string> server_words()
{
	std::vector<std::string> words;
	for (const auto &each : channels) {
		words.emplace_back("--channel");
		words.push_back(fmt::format("{}:{}", each.name, each.shape));
	}
	return words;
}

std::size_t host_descriptors(int pid)
{
	const std::filesystem::directory_iterator begin{fmt::format("/proc/{}/fd", pid)};
	return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator{}));
}

constexpr const char *device = "ivshmem";
constexpr const char *port = "rp1";

} // namespace

rig::rig(std::function<harness::guest &(harness::guest_options)> boot, outcome &result, std::uint64_t seed, bool windows)
	: boot_{std::move(boot)}, result_{result}, seed_{seed}, windows_{windows}, random_{seed}, server_{server_words()},
	  ledger_{channel_count}
{
	this->boot();
	start(host_side);
	start(guest_side);
}

/* What is left after a failure would keep the module from unloading. */
rig::~rig()
{
	try {
		if (guest_ && guest_->running())
			guest_->kill9();
	} catch (const std::exception &) {
		// The case says what is wrong with the guest.
	}
}

/* ---- what there is ---- */

void rig::boot()
{
	machine_ = &boot_({.root_ports = {{.id = port}}});
	replug();
	machine_->check("cp /tests/torture-end /tmp/");
}

void rig::replug()
{
	machine_->hotplug(server_.guest_device(device, port));
	// Its end would wait by itself, but what is done next may need the driver.
	machine_->check(fmt::format("until [ $(ls /sys/class/kvmchan | wc -l) = {} ]; do usleep 5000; done", channel_count));
}

void rig::unplug()
{
	machine_->unplug(device);
}

void rig::start(side which)
{
	const auto instance = std::to_string(++instances_[which]);
	std::vector<std::string> argv{instance, std::to_string(seed_ & 0xffffffff),
	                              which == host_side || windows_ ? "windows" : "calls"};
	if (which == host_side)
		argv.insert(argv.end(), {dir_ / "progress", server_.socket()});
	else
		argv.insert(argv.end(), {"/tmp/progress", "-"});
	for (const auto &each : channels)
		argv.emplace_back(each.name);
	if (which == host_side) {
		argv.insert(argv.begin(), harness::build_directory() / "qemu-test/torture-end");
		host_.emplace(argv);
	} else {
		argv.insert(argv.begin(), "/tmp/torture-end");
		guest_.emplace(machine_->spawn(argv));
	}
}

void rig::lost(side which)
{
	take_lines(which, which == host_side ? host_->read() : guest_->read());
	partial_[which].clear();
	ledger_.forget(which);
	if (which == host_side)
		host_.reset();
	else
		guest_.reset();
}

/* ---- what they say ---- */

void rig::take_lines(side which, const std::string &text)
{
	auto &lines = partial_[which];
	lines += text;
	for (auto end = lines.find('\n'); end != std::string::npos; end = lines.find('\n')) {
		const auto said = from_line(lines.substr(0, end));
		lines.erase(0, end + 1);
		if (!said)
			throw error{"an end says what nobody understands"};
		if (said->what == "pid")
			pids_[which] = said->my;
		else
			ledger_.take(which, *said);
	}
}

void rig::check_running(side which)
{
	if (which == host_side && host_ && !host_->running())
		throw error{fmt::format("the host's end ended with {}: {}", host_->wait().exit, host_->err())};
	if (which == guest_side && guest_ && !guest_->running())
		throw error{fmt::format("the guest's end ended with {}: {}", guest_->wait().exit, guest_->err())};
}

void rig::take()
{
	if (host_)
		take_lines(host_side, host_->read());
	if (guest_)
		take_lines(guest_side, guest_->read());
}

template <typename Done>
void rig::wait(const char *what, Done done)
{
	const auto deadline = harness::deadline_after(harness::nominal::command);
	for (;;) {
		take();
		if (done())
			return;
		check_running(host_side);
		check_running(guest_side);
		if (clock::now() > deadline)
			throw harness::deadline_error{fmt::format("stuck: {}\n{}", what, story())};
		std::this_thread::sleep_for(1ms);
	}
}

/* What there is to know when something is stuck. */
std::string rig::story()
{
	std::string text = ledger_.story();
	try {
		text += "--- the driver's words ---\n" +
		        machine_->check("cd /sys/kernel/debug/kvmchan; for n in *; do "
		                        "echo $n $(cat /sys/class/kvmchan/$n/name): $(cat $n | tr '\\n' ';'); done");
		text += "--- the server ---\n" + server_.status().dump();
	} catch (const std::exception &e) {
		text += e.what();
	}
	return text;
}

void rig::linger()
{
	const auto longest = std::chrono::microseconds{1} * (1U << random(17));
	const auto until = clock::now() + longest * random(1000) / 1000;
	do {
		take();
		std::this_thread::sleep_for(std::min<clock::duration>(1ms, until - clock::now()));
	} while (clock::now() < until);
}

void rig::await_traffic()
{
	wait("no traffic on all channels", [&] { return ledger_.all_paired(); });
}

void rig::await_progress()
{
	// What the host accepts proves that the guest receives.
	struct position {
		std::uint64_t accepted, received;
	};
	std::vector<position> goal;
	for (std::size_t i = 0; i < channel_count; ++i) {
		const auto &now = progress_.all()[i];
		goal.push_back({now.accepted + 2 * channels[i].largest_ring, now.received + 2 * channels[i].largest_ring});
	}
	wait("traffic does not go on", [&] {
		for (std::size_t i = 0; i < channel_count; ++i) {
			const auto &now = progress_.all()[i];
			if (now.accepted < goal[i].accepted || now.received < goal[i].received)
				return false;
		}
		return true;
	});
}

/* ---- what is done to them ---- */

void rig::await_ends(const std::set<std::uint64_t> &sessions)
{
	wait("survivors do not see the end", [&] {
		return std::ranges::all_of(sessions, [&](std::uint64_t tag) { return ledger_.ended(tag); });
	});
}

void rig::note_waits(const std::set<std::uint64_t> &sessions, clock::time_point since)
{
	for (const auto tag : sessions) {
		if (const auto *when = ledger_.ended(tag))
			result_.waits.push_back(std::chrono::duration<double, std::milli>{*when - since}.count());
	}
}

void rig::strike(std::vector<side> losers, const std::function<void()> &death, const std::function<void()> &after)
{
	// Now and then while they begin.
	if (random(4) != 0)
		await_traffic();
	linger();
	take();
	std::set<std::uint64_t> survivors;
	for (const auto which : {host_side, guest_side}) {
		if (std::ranges::find(losers, which) == losers.end())
			survivors.merge(ledger_.paired_sessions(which));
	}
	const auto since = clock::now();
	death();
	if (coin())
		await_ends(survivors);
	else
		linger();
	after();
	await_ends(survivors);
	note_waits(survivors, since);
	result_.bytes = ledger_.bytes();
	result_.sessions = ledger_.sessions();
}

void rig::disturb(const std::function<void()> &what)
{
	await_traffic();
	linger();
	take();
	const auto before = ledger_.ends_seen();
	what();
	await_progress();
	if (ledger_.ends_seen() != before)
		throw error{"a session ended, although nobody died"};
	result_.bytes = ledger_.bytes();
	result_.sessions = ledger_.sessions();
}

void rig::finish()
{
	await_traffic();
	const auto sessions = ledger_.paired_sessions(host_side);
	auto all = ledger_.paired_sessions(guest_side);
	all.insert(sessions.begin(), sessions.end());
	// One may be told later than the other one.
	const bool host_first = coin();
	if (host_first)
		host_->write_stdin("finish\n");
	else
		guest_->write_stdin("finish\n");
	linger();
	if (host_first)
		guest_->write_stdin("finish\n");
	else
		host_->write_stdin("finish\n");
	const auto deadline = harness::deadline_after(harness::nominal::command);
	while (host_->running() || guest_->running()) {
		take();
		if (clock::now() > deadline)
			throw harness::deadline_error{"stuck: the ends do not come to their end"};
		std::this_thread::sleep_for(1ms);
	}
	if (host_->wait().exit != 0 || guest_->wait().exit != 0)
		throw error{"an end failed: " + host_->err() + guest_->err()};
	lost(host_side);
	lost(guest_side);
	for (const auto tag : all) {
		if (!ledger_.in_order(tag))
			throw error{name_of(tag) + " did not end in order"};
	}
	result_.bytes = ledger_.bytes();
	result_.sessions = ledger_.sessions();
}

footprint rig::measure()
{
	await_traffic();
	wait("the server keeps dead peers", [&] { return server_.peers() == 2; });
	const auto in_guest = [&](const std::string &script) { return std::stoul(machine_->check(script)); };
	return {.server_descriptors = server_.descriptors(),
	        .host_descriptors = host_descriptors(host_->pid()),
	        .guest_descriptors = in_guest(fmt::format("ls /proc/{}/fd | wc -l", pids_[guest_side])),
	        .nodes = in_guest("ls /dev | grep -c '^kvmchan[0-9]'"),
	        .server_memory = server_.memory()};
}

} // namespace torture
