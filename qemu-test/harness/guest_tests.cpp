// SPDX-License-Identifier: MIT
#include "guest_tests.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

namespace harness {

namespace {

namespace fs = std::filesystem;

int attribute(const std::string &element, const char *name)
{
	std::smatch found;
	const std::regex pattern{std::string{"\\b"} + name + "=\"([0-9]+)\""};
	return std::regex_search(element, found, pattern) ? std::stoi(found[1]) : 0;
}

std::string escaped(std::string_view text)
{
	std::string safe;
	for (const char c : text) {
		switch (c) {
		case '<': safe += "&lt;"; break;
		case '>': safe += "&gt;"; break;
		case '&': safe += "&amp;"; break;
		case '"': safe += "&quot;"; break;
		default:
			// XML 1.0 has no way to write most control characters.
			safe += static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t' ? c : '?';
		}
	}
	return safe;
}

/* What stands for the report of a program that wrote none. */
std::string dead_report(std::string_view program, const result &run)
{
	return fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	                   "<testsuites tests=\"1\" failures=\"0\" errors=\"1\" name=\"{0}\">\n"
	                   "<testsuite name=\"{0}\" tests=\"1\" failures=\"0\" errors=\"1\">\n"
	                   "<testcase name=\"runs_to_its_end\" classname=\"{0}\">"
	                   "<error message=\"no report; exit status {1}\">{2}</error>"
	                   "</testcase>\n</testsuite>\n</testsuites>\n",
	                   escaped(program), run.exit, escaped(run.out + run.err));
}

void keep_report(std::string_view program, const std::string &xml)
{
	const char *directory = std::getenv("KVMCHAN_TEST_RESULTS");
	if (!directory || !*directory)
		return;
	fs::create_directories(directory);
	std::ofstream{fs::path{directory} / fmt::format("guest-{}.xml", program)} << xml;
}

} // namespace

guest_test_report run_guest_tests(guest &machine, command what, milliseconds limit)
{
	const auto program = what.argv.at(0);
	const auto file = fmt::format("/tmp/{}.xml", program);
	// At least two words, so that it is not taken for a shell script.
	what.argv[0] = "/tests/" + program;
	what.argv.push_back("--gtest_output=xml:" + file);
	machine.run({"rm", "-f", file});
	guest_test_report report;
	std::string xml;
	try {
		report.run = machine.run(what, limit);
		xml = machine.run({"cat", file}).out;
	} catch (const error &) {
		// The guest died, or the program hangs: nothing will come any more.
		keep_report(program, dead_report(program, report.run));
		throw;
	}
	if (!xml.ends_with("</testsuites>\n")) {
		keep_report(program, dead_report(program, report.run));
		ADD_FAILURE() << program << " in the guest wrote no report and exited with "
			      << report.run.exit << '\n' << report.run.out << report.run.err;
		return report;
	}
	keep_report(program, xml);
	const auto start = xml.find("<testsuites");
	const auto element = xml.substr(start, xml.find('>', start) - start);
	report.tests = attribute(element, "tests");
	report.failures = attribute(element, "failures");
	for (std::size_t at = 0; (at = xml.find("<skipped", at)) != std::string::npos; ++at)
		++report.skipped;
	EXPECT_GT(report.tests, 0) << program << " ran no test; arguments or filter wrong?";
	EXPECT_TRUE(report.failures == 0 && report.run.exit == 0)
		<< program << " in the guest: " << report.failures << " of " << report.tests
		<< " failed, exit status " << report.run.exit << '\n'
		<< report.run.out << report.run.err;
	return report;
}

} // namespace harness
