// SPDX-License-Identifier: MIT
#include "guest_case.hpp"

#include "log_scan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <regex>

namespace harness {

namespace {

struct shared_machine {
	guest_options options;
	temp_dir dir{"suite"};
	std::unique_ptr<guest> machine;
};

std::unique_ptr<shared_machine> &suite()
{
	static std::unique_ptr<shared_machine> instance;
	return instance;
}

bool matches(const std::string &line, const std::string &regex)
{
	return std::regex_search(line, std::regex{regex});
}

/* A guest that the test killed or lost cannot be asked any more. */
void sync_if_alive(guest &machine)
{
	try {
		if (machine.running())
			machine.sync_logs();
	} catch (const guest_gone &) {
	}
}

log_mark mark_of(const guest &machine)
{
	return {machine.dmesg().size(), machine.console().size()};
}

ivshmem_plain make_plain(const temp_dir &dir, std::string id, std::uint64_t size)
{
	auto file = dir.make_region(id, size);
	return {.id = std::move(id), .memory = std::move(file)};
}

} // namespace

guest_case::guest_case() = default;
guest_case::~guest_case() = default;

guest &guest_case::boot(guest_options options)
{
	guests_.push_back(std::make_unique<guest>(std::move(options)));
	watched_.push_back({guests_.back().get(), {}});
	return *guests_.back();
}

guest &guest_case::migrate(guest &source, guest_options options)
{
	guests_.push_back(std::make_unique<guest>(std::move(options), source));
	watched_.push_back({guests_.back().get(), {}});
	source.kill9();
	return *guests_.back();
}

void guest_case::watch(guest &machine)
{
	const bool known = std::ranges::any_of(
		watched_, [&](const watched &each) { return each.machine == &machine; });
	if (!known)
		watched_.push_back({&machine, mark_of(machine)});
}

void guest_case::expect_log(std::string regex)
{
	expected_.push_back({std::move(regex), true});
}

void guest_case::allow_log(std::string regex)
{
	expected_.push_back({std::move(regex), false});
}

ivshmem_plain guest_case::plain(std::string id, std::uint64_t size)
{
	return make_plain(dir_, std::move(id), size);
}

void guest_case::check_logs()
{
	std::vector<std::string> seen;
	for (const auto &[machine, since] : watched_) {
		const auto complaints = [&](const std::string &log, std::size_t from) {
			const auto lines = kernel_complaints(std::string_view{log}.substr(std::min(from, log.size())));
			seen.insert(seen.end(), lines.begin(), lines.end());
			const auto first = std::ranges::find_if(lines, [&](const std::string &line) {
				return std::ranges::none_of(expected_, [&](const expectation &each) {
					return matches(line, each.regex);
				});
			});
			return first == lines.end() ? std::string{} : *first;
		};
		const auto in_log = complaints(machine->dmesg(), since.dmesg);
		const auto on_console = complaints(machine->console(), since.console);
		if (!in_log.empty() || !on_console.empty())
			ADD_FAILURE() << "the kernel complained, first: " << (in_log.empty() ? on_console : in_log)
				      << machine->tail();
	}
	for (const auto &each : expected_) {
		const bool came = std::ranges::any_of(
			seen, [&](const std::string &line) { return matches(line, each.regex); });
		if (each.required && !came)
			ADD_FAILURE() << "no complaint of the kernel matches " << each.regex;
	}
}

/* The failure's text has the end of the logs; here they are whole. */
void guest_case::keep_logs() const
{
	const char *directory = std::getenv("KVMCHAN_TEST_RESULTS");
	if (!directory || !*directory || !HasFailure())
		return;
	const auto *test = ::testing::UnitTest::GetInstance()->current_test_info();
	for (int number = 0; const auto &each : watched_) {
		auto name = fmt::format("{}.{}-{}.log", test->test_suite_name(), test->name(), number++);
		// Of a test with parameters it has a slash.
		std::ranges::replace(name, '/', '-');
		std::ofstream{std::filesystem::path{directory} / name}
			<< "--- console ---\n" << each.machine->console()
			<< "\n--- kernel log ---\n" << each.machine->dmesg();
	}
}

void guest_case::TearDown()
{
	try {
		for (const auto &each : watched_)
			sync_if_alive(*each.machine);
		for (const auto &each : guests_) {
			if (each->running())
				each->shutdown();
		}
	} catch (const std::exception &e) {
		ADD_FAILURE() << "at the end of the test: " << e.what();
	}
	check_logs();
	keep_logs();
	watched_.clear();
	guests_.clear();
}

/* ---- shared_guest_case ---- */

void shared_guest_case::share(guest_options options)
{
	if (!suite())
		suite() = std::make_unique<shared_machine>();
	suite()->options = std::move(options);
}

guest &shared_guest_case::shared()
{
	auto &machine = suite()->machine;
	const bool fresh = !machine || !machine->running();
	if (fresh)
		machine = std::make_unique<guest>(suite()->options);
	watch(*machine);
	return *machine;
}

const temp_dir &shared_guest_case::suite_dir()
{
	if (!suite())
		suite() = std::make_unique<shared_machine>();
	return suite()->dir;
}

ivshmem_plain shared_guest_case::suite_plain(std::string id, std::uint64_t size)
{
	return make_plain(suite_dir(), std::move(id), size);
}

void shared_guest_case::TearDownTestSuite()
{
	if (!suite())
		return;
	auto done = std::move(suite());
	suite().reset();
	if (!done->machine || !done->machine->running())
		return;
	try {
		const auto mark = mark_of(*done->machine);
		done->machine->shutdown();
		if (!kernel_complaints(done->machine->dmesg().substr(mark.dmesg)).empty() ||
		    !kernel_complaints(done->machine->console().substr(mark.console)).empty())
			ADD_FAILURE() << "the kernel complained at shutdown" << done->machine->tail();
	} catch (const std::exception &e) {
		ADD_FAILURE() << "at the end of the suite: " << e.what();
	}
}

} // namespace harness
