// SPDX-License-Identifier: MIT
// Samples of several files, and what can be computed from them.
#ifndef KVMCHAN_BENCH_REPORT_SAMPLES_HPP
#define KVMCHAN_BENCH_REPORT_SAMPLES_HPP

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

namespace kvmchan::bench {

using json = nlohmann::ordered_json;

/** Which samples: a field that is not set may be anything. */
struct selection {
	std::string bench;
	/** Of several, the best one counts. */
	std::vector<std::string> paths;
	/** Or "guest": anything that has to do with one guest and its host. */
	std::string dir{};
	std::optional<std::uint64_t> size{};
	std::optional<unsigned> channels{};
	std::string spin{};
	std::optional<bool> pinned{};
	std::string unit{};
	/** Of several figures of one benchmark; here empty is none of them, and "*" any. */
	std::string what{};
	/** Which of a sample's figures. */
	std::string figure = "value";

	bool takes(const json &sample) const;
	/** What is missing where it finds nothing. */
	std::string name() const;
};

/** The middle of figures, and how far they lie apart. */
struct figure {
	double median = 0;
	double least = 0, most = 0;
	std::size_t count = 0;
};

class sample_set {
public:
	/** Throws std::runtime_error naming the file and the line. */
	void read(const std::filesystem::path &file);

	const json &meta() const noexcept { return meta_; }
	const json &skipped() const noexcept { return skipped_; }
	const std::vector<json> &samples() const noexcept { return samples_; }

	/** Of the samples that @p which selects; nothing when there are none. */
	std::optional<figure> value(const selection &which) const;

	/**
	 * How @p a relates to @p b, side by side: a ratio for each round of each
	 * boot in which both were measured. Nothing when there is none.
	 */
	std::optional<figure> ratio(const selection &a, const selection &b) const;

private:
	/* What was measured side by side: boot, CPUs of the guest, pinned, round. */
	using side_by_side = std::tuple<int, int, bool, int>;

	std::map<side_by_side, double> rounds(const selection &which) const;
	std::optional<figure> best(const selection &which) const;

	json meta_ = json::array();
	json skipped_ = json::array();
	std::vector<json> samples_;
};

/** The figure of values that are not empty. */
figure summary(std::vector<double> values);

} // namespace kvmchan::bench

#endif
