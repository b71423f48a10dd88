// SPDX-License-Identifier: MIT
// What the report of the benchmarks makes of samples.
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "report/tables.hpp"
#include "report/targets.hpp"
#include "server_fixture.hpp"

namespace kvmchan::bench {
namespace {

using kvmchan::testing::temporary_directory;

json sample(const char *bench, const char *path, const char *dir, double value)
{
	return {{"bench", bench}, {"path", path},   {"dir", dir},   {"size", 64},      {"channels", 1}, {"cpus", 1},
	        {"spin", "-"},    {"pinned", true}, {"boot", 0}, {"round", 0}, {"unit", "us"},  {"value", value}};
}

json with(json what, const char *field, const json &value)
{
	what[field] = value;
	return what;
}

class bench_report : public ::testing::Test {
protected:
	sample_set read(const std::vector<json> &lines)
	{
		std::ofstream out{directory_ / "samples"};
		sample_set made;

		for (const json &line : lines)
			out << line << '\n';
		out.close();
		made.read(directory_ / "samples");
		return made;
	}

	static verdict of(const sample_set &samples, const std::string &id)
	{
		for (const verdict &one : judge(samples))
			if (one.about->id == id)
				return one;
		throw std::out_of_range{id};
	}

	temporary_directory directory_;
};

json sleeping(double value, unsigned round)
{
	return with(with(sample("round_trip", "kvmchan", "both", value), "spin", "off"), "round", round);
}

json serial(double value, unsigned round)
{
	return with(sample("round_trip", "virtio-serial", "both", value), "round", round);
}

TEST_F(bench_report, compares_within_a_round)
{
	/* The second round was twice as slow for all. */
	const auto samples = read({sleeping(50, 0), serial(100, 0), sleeping(100, 1), serial(200, 1)});
	const verdict found = of(samples, "T1b");

	ASSERT_TRUE(found.value);
	EXPECT_DOUBLE_EQ(found.value->median, 0.5);
	EXPECT_DOUBLE_EQ(found.value->least, 0.5);
	EXPECT_DOUBLE_EQ(found.value->most, 0.5);
	EXPECT_EQ(found.met, true);
}

TEST_F(bench_report, a_value_past_its_bound_is_not_met)
{
	EXPECT_EQ(of(read({sleeping(71, 0), serial(100, 0)}), "T1b").met, false);
}

TEST_F(bench_report, says_what_is_missing)
{
	const verdict found = of(read({sleeping(50, 0)}), "T1b");

	EXPECT_FALSE(found.value);
	EXPECT_FALSE(found.met);
	EXPECT_EQ(found.how, "missing: round_trip of virtio-serial, guest, 64 bytes");
	EXPECT_TRUE(to_json(found).at("met").is_null());
}

TEST_F(bench_report, the_best_of_several_counts)
{
	const auto rate = [](const char *path, double value) {
		return with(with(sample("throughput", path, "h2g", value), "size", 65536), "unit", "MB/s");
	};
	const auto samples = read({with(rate("kvmchan", 1200), "spin", "on"), rate("virtio-serial", 100),
	                           rate("tcp-user", 50), rate("tcp-tap", 200)});

	EXPECT_DOUBLE_EQ(of(samples, "T3c").value->median, 6);
	EXPECT_EQ(of(samples, "T3c").met, true);
}

TEST_F(bench_report, a_bound_past_a_limit_shows_as_such)
{
	const auto rate = [](const char *path, double value) {
		return with(with(sample("throughput", path, "h2g", value), "size", 65536), "unit", "MB/s");
	};
	const verdict found = of(read({with(rate("kvmchan", 300), "spin", "on"), rate("virtio-serial", 100),
	                               rate("null-copy", 400)}),
	                         "T3c");

	EXPECT_EQ(found.met, false);
	ASSERT_TRUE(found.reach);
	EXPECT_DOUBLE_EQ(found.reach->median, 4);
	EXPECT_DOUBLE_EQ(to_json(found).at("limit").at("value").get<double>(), 4);
	EXPECT_FALSE(of(read({sleeping(50, 0), serial(100, 0)}), "T1b").reach);
}

TEST_F(bench_report, a_percentile_is_compared_with_its_own_median)
{
	const auto samples = read({with(with(sample("round_trip", "kvmchan", "both", 2), "spin", "on"), "p99", 5)});

	EXPECT_DOUBLE_EQ(of(samples, "T2c").value->median, 2.5);
	EXPECT_EQ(of(samples, "T2c").met, false);
}

TEST_F(bench_report, what_idle_channels_add_is_what_counts)
{
	const auto idle = [](unsigned channels, double value) {
		return with(with(with(sample("idle", "kvmchan", "-", value), "channels", channels), "of", "qemu"),
		            "seconds", 5);
	};

	EXPECT_NEAR(of(read({idle(0, 0.25), idle(64, 0.5)}), "T9d").value->median, 0.05, 1e-9);
}

/* A full run measures ends that do not look before they sleep, too, and ring for each message. */
TEST_F(bench_report, doorbells_are_of_ends_with_default_settings)
{
	const auto rung = [](const char *spin, double value) {
		return with(with(with(sample("doorbells", "kvmchan", "g2h", value), "spin", spin), "size", 65536), "unit", "1/MB");
	};

	EXPECT_NEAR(of(read({rung("on", 0.1), rung("off", 60), rung("off", 70)}), "T6b").value->median, 0.0065536, 1e-9);
}

TEST_F(bench_report, each_way_to_wait_has_its_line)
{
	const auto rate = [](const char *spin) {
		return with(with(sample("throughput", "kvmchan", "g2h", 5), "spin", spin), "unit", "MB/s");
	};
	const auto found = rows(read({rate("on"), rate("off")}), "throughput", "g2h");

	ASSERT_EQ(found.size(), 2U);
	EXPECT_EQ(found[0].name, "kvmchan");
	EXPECT_EQ(found[0].which.spin, "on");
	EXPECT_EQ(found[1].name, "kvmchan, sleeping");
}

TEST_F(bench_report, what_is_skipped_and_measured_is_kept)
{
	const auto samples = read({{{"meta", {{"cpu", "x"}}}}, {{"skipped", "vsock"}, {"why", "no module"}}, sleeping(1, 0)});

	EXPECT_EQ(samples.meta().size(), 1U);
	EXPECT_EQ(samples.skipped().at(0).at("why"), "no module");
	EXPECT_EQ(samples.samples().size(), 1U);
}

TEST_F(bench_report, a_broken_line_is_named)
{
	try {
		read({sleeping(1, 0), {{"bench", "round_trip"}}});
		FAIL() << "it was taken";
	} catch (const std::runtime_error &error) {
		EXPECT_NE(std::string{error.what()}.find("samples:2:"), std::string::npos) << error.what();
	}
}

TEST_F(bench_report, each_target_has_a_name_of_its_own)
{
	std::set<std::string> seen;

	for (const target &one : all_targets()) {
		EXPECT_TRUE(seen.insert(one.id).second) << one.id;
		EXPECT_FALSE(one.ways.empty()) << one.id;
	}
}

TEST_F(bench_report, tables_show_paths_and_sizes)
{
	const auto samples = read({with(sample("throughput", "pipe", "h2h", 123), "unit", "MB/s")});
	std::ostringstream out;

	write_markdown(out, samples, judge(samples));
	EXPECT_NE(out.str().find("| | 64 B |\n|---|---|\n| pipe | 123 |\n"), std::string::npos) << out.str();
}

} // namespace
} // namespace kvmchan::bench
