// SPDX-License-Identifier: MIT
// Data and scripts for gnuplot.
#ifndef KVMCHAN_BENCH_REPORT_PLOTS_HPP
#define KVMCHAN_BENCH_REPORT_PLOTS_HPP

#include <filesystem>

#include "samples.hpp"

namespace kvmchan::bench {

/**
 * Writes NAME.dat and NAME.gp for each plot into @p directory, and has gnuplot
 * make NAME.svg of them. Throws std::runtime_error when that fails.
 */
void write_plots(const std::filesystem::path &directory, const sample_set &samples);

} // namespace kvmchan::bench

#endif
